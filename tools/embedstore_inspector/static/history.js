// History: what made each version, and undo, which tells what it would do before it does it.

import * as api from "./api.js";
import { button } from "./deciding.js";
import { both, language, pair, shown } from "./words.js";

const $ = (id) => document.getElementById(id);

export function listenToHistory({ refresh }) {
  async function show() {
    $("history").showModal();
    try {
      const { versions, last, count } = await api.json("/api/log");
      const older = document.createElement("li");
      older.append(both("older_versions", { count: count - versions.length }));
      $("versions").replaceChildren(...versions.map((one) => entry(one, last)), ...(count > versions.length ? [older] : []));
      if (!versions.length) $("versions").append(both("no_history"));
    } catch (error) {
      $("versions").replaceChildren(refusal(error));
    }
  }

  function entry({ number, time, what, amount, tags, undoable }, last) {
    const item = document.createElement("li"), head = document.createElement("div"), when = document.createElement("time");
    item.dataset.version = number;
    when.dateTime = time;
    when.textContent = new Date(time).toLocaleString(language(), { dateStyle: "medium", timeStyle: "short" });
    const name = document.createElement("strong");
    name.append(both("version_is", { version: String(number) }));
    head.append(name, when, ...tags.map(tagged));
    const text = document.createElement("p");
    text.append(shown([what.en, what.ja]));
    if (amount.en) text.append(shown([`: ${amount.en}`, `：${amount.ja}`]));
    item.append(head, text);
    if (undoable) item.append(button("undo", () => plan(number, item), number === last ? "button strong" : "button"));
    return item;
  }

  // What an undo would do, or why it can't; then it is asked for once more.
  async function plan(number, item) {
    for (const one of $("versions").querySelectorAll(".plan")) one.remove();
    const place = document.createElement("div");
    place.className = "plan";
    item.append(place);
    try {
      const { sentence, examples, samples } = await api.json("/api/undo", { number });
      const text = document.createElement("p"), list = document.createElement("ul");
      text.append(shown([sentence.en, sentence.ja]));
      for (const { id, en, ja } of examples) {
        const line = document.createElement("li"), name = document.createElement("bdi");
        name.className = "id";
        name.textContent = id;
        line.append(name, " ", shown([en, ja]));
        list.append(line);
      }
      const answers = document.createElement("div");
      answers.className = "answers";
      const go = document.createElement("button");
      go.className = "button strong";
      go.append(both("undo_it", { version: String(number) }));
      go.addEventListener("click", () => {
        go.disabled = true;
        go.replaceChildren(both("undoing"));
        undo(number, place);
      });
      answers.append(...(samples ? [go] : []), button("cancel", () => place.remove()));
      place.append(text, list, answers);
      (samples ? go : answers.lastChild).focus();
    } catch (error) {
      place.append(refusal(error));
    }
    place.scrollIntoView({ block: "nearest" });
  }

  // `place` takes a refusal; without one it is told as a notice.
  async function undo(number, place = null) {
    try {
      const { made } = await api.post("/api/undo", JSON.stringify({ number }));
      $("history").close();
      if (made === null) api.notice(pair("undone_nothing"));
      else {
        api.notice(pair("undone", { number: String(number), version: String(made) }), {
          name: "saved", seconds: 30, action: { words: pair("history"), run: show },
        });
      }
      await refresh(made).catch(api.complain);
    } catch (error) {
      if (place && error.sentence) place.replaceChildren(refusal(error));
      else if (error.status === 409 && error.sentence) api.notice(error.sentence, { kind: "caution", seconds: 20 });
      else api.complain(error);
    }
  }

  $("history-button").addEventListener("click", show);
  return { show, undo };
}

function tagged(tag) {
  const one = document.createElement("bdi");
  one.className = "tag";
  one.textContent = tag;
  return one;
}

function refusal(error) {
  if (!error.sentence) throw error;
  const one = document.createElement("p");
  one.className = "refusal";
  one.append(shown(error.sentence));
  return one;
}
