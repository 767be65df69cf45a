// What a verdict needs beside itself: the right label, or the other twin.

import * as api from "./api.js";
import { data, sample, sampleOf } from "./data.js";
import { both, pair, shown } from "./words.js";

const $ = (id) => document.getElementById(id);
const NEAREST = 12, LABELS = 60; // offered as twins, and as labels

// Show a dialog; gives what was chosen, or undefined where it was closed. What `offer(choose, open)` still waits for when
// `open()` is no more is of an earlier question, and must not get into the next.
function asked(dialog, offer) {
  return new Promise((resolve) => {
    let given, open = true;
    const choose = (value) => open && ((given = value), dialog.close(), (open = false));
    dialog.addEventListener("close", () => {
      open = false;
      dialog.querySelector(":focus")?.blur(); // where the browser has not moved it yet, keys would be heard by what is hidden
      resolve(given);
    }, { once: true });
    dialog.showModal();
    offer(choose, () => open);
  });
}

const byTouch = () => matchMedia("(pointer: coarse)").matches; // where a focus would cover half of the screen with keys

export function askLabel(samples) {
  const { values, counts } = data.fields.label, own = samples.length === 1 ? samples[0].label : null;
  return asked($("label-dialog"), (choose) => {
    const input = $("label-text"), list = $("label-list");
    const offer = () => {
      const text = input.value.trim(), part = text.toLowerCase();
      // The own label can be told to be right, by all of its name.
      const fits = (one, at) => counts[at + 1] && (one === text || (one !== own && one.toLowerCase().includes(part)));
      const rank = (one) => (one === text ? 0 : one.toLowerCase().startsWith(part) ? 1 : 2);
      const fitting = values.filter(fits).sort((a, b) => rank(a) - rank(b)).slice(0, LABELS);
      const one = (label, content) => {
        const choice = document.createElement("button");
        choice.type = "button";
        choice.className = "label-choice";
        choice.append(content);
        choice.addEventListener("click", () => choose(label));
        return choice;
      };
      const known = (some) => some.map((label) => one(label, isolated(label)));
      const begun = fitting.filter((label) => rank(label) < 2), others = fitting.slice(begun.length);
      const fresh = text && !fitting.includes(text) ? [one(text, both("new_label", { text }))] : [];
      list.replaceChildren(...known(begun), ...fresh, ...known(others));
      if (text) list.firstElementChild.classList.add("entered"); // what Enter takes
    };
    input.value = "";
    input.oninput = offer;
    input.onkeydown = (event) => {
      if (event.key !== "Enter" || event.isComposing) return;
      event.preventDefault();
      event.stopPropagation();
      if (input.value.trim()) list.firstElementChild?.click();
    };
    offer();
    if (!byTouch()) input.focus();
    else list.firstElementChild?.focus();
  });
}

function isolated(text) {
  const one = document.createElement("bdi");
  one.textContent = text;
  return one;
}

export function askTwin(samples) {
  return asked($("twin-dialog"), async (choose, open) => {
    const input = $("twin-text"), list = $("twin-list"), refusal = $("twin-refusal");
    const [first] = samples, others = samples.slice(1, NEAREST + 1);
    const take = async () => {
      const id = input.value.trim();
      if (!id) return;
      try {
        if (samples.length === 1 && id === first.id) throw new api.Refusal(pair("twin_itself"), 400);
        choose((await sampleOf(id)).id);
      } catch (error) {
        if (open()) refusal.replaceChildren(shown(error.sentence ?? [error.message, error.message]));
      }
    };
    input.value = "";
    refusal.replaceChildren();
    list.replaceChildren();
    $("twin-take").onclick = take;
    input.onkeydown = (event) => {
      if (event.key !== "Enter" || event.isComposing) return;
      event.preventDefault();
      event.stopPropagation();
      take();
    };
    const offer = (one, note) => {
      const choice = document.createElement("button"), picture = document.createElement("img"), caption = document.createElement("span");
      choice.type = "button";
      choice.className = "twin-choice";
      picture.src = one.picture;
      picture.alt = one.id;
      caption.append(isolated(one.id), ...(note ? [note] : []));
      choice.append(picture, caption);
      choice.addEventListener("click", () => choose(one.id));
      list.append(choice);
    };
    for (const one of others.length ? [first, ...others] : []) offer(one);
    try {
      const { hits } = await api.json("/api/like", { id: first.id });
      const taken = new Set(samples.map(({ at }) => at));
      const near = hits.filter(({ at }) => !taken.has(at)).slice(0, NEAREST);
      const found = await Promise.all(near.map(({ at }) => sample(at)));
      if (!open()) return;
      for (const one of found) {
        const note = document.createElement("small");
        note.append(both("similarity", { value: near.find(({ at }) => at === one.at).similarity.toFixed(3) }));
        offer(one, note);
      }
      if (!input.value) list.firstElementChild?.focus(); // Enter takes what somebody has begun to type
    } catch (error) {
      if (open()) refusal.replaceChildren(shown(error.sentence ?? [error.message, error.message]));
    }
  });
}
