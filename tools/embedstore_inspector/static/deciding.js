// Deciding: four verdicts on what is looked at or chosen, the tray that they wait in, and saving.

import * as api from "./api.js";
import { askLabel, askTwin } from "./asking.js";
import { data, sample, sampleOf } from "./data.js";
import * as tray from "./tray.js";
import { both, pair, pairOr, shown } from "./words.js";

const $ = (id) => document.getElementById(id);
const LISTED = 100; // decisions that the tray shows
const ASKING = ["wrong-label", "twin"]; // verdicts that need a value

// `target()` gives the positions that a verdict is on; `refresh(made)` shows the newest version; `decided(ids)` follows a decision.
export function listenToDecisions({ target, refresh, decided, undo, chooseNone }) {
  async function decide(kind) {
    const { positions, id, since } = target(); // the version of what is on the screen, whatever others do while a person chooses
    if (!positions.length) return;
    try {
      if (positions.length > tray.MOST) return void tooMany();
      const samples = id === null ? await Promise.all(positions.map(sample)) : [ASKING.includes(kind) ? await sampleOf(id) : { id }];
      const value = kind === "wrong-label" ? await askLabel(samples) : kind === "twin" ? await askTwin(samples) : null;
      if (value === undefined) return;
      say(samples.map(({ id }) => id).filter((id) => kind !== "twin" || id !== value), kind, value, since);
    } catch (error) {
      if (error.old) api.notice(pair("moved_on"), { kind: "caution" });
      api.complain(error);
    }
  }

  function say(ids, kind, value, since) {
    const other = (one) => one && !one.changed && !tray.isHeld(one) && !tray.isSame(one, { kind, value });
    const replaced = ids.map(tray.decided).filter(other);
    if (!tray.put(ids, kind, value, since)) return tooMany();
    decided(ids);
    if (replaced.length) tellReplaced(replaced);
    return true;
  }

  // A second decision on a picture takes the place of the first, which is not lost without a word.
  function tellReplaced(some) {
    const told = some.length === 1 ? pair("replaced_one", { earlier: tray.meaning(some[0]) }) : pair("replaced", { count: some.length });
    api.notice(told, { name: "replaced", seconds: 20, action: { words: pair("bring_back"), run: () => tray.add(some) || tooMany() } });
  }

  const tooMany = () => (api.notice(pair("too_many", { most: tray.MOST }), { kind: "caution" }), false);

  let saving = false;

  async function save() {
    const some = tray.ready();
    if (saving || !some.length) return;
    saving = true;
    tray.hold(some); // what is on its way can't be taken back any more
    let made;
    try {
      ({ made } = await api.post("/api/triage", tray.sent(some)));
      tray.release(true);
      if (made === null) api.notice(pair("saved_nothing"));
      else {
        api.notice(pair("saved", { version: String(made) }), { name: "saved", seconds: 30, action: { words: pair("undo"), run: () => undo(made) } });
      }
      openTray(false);
    } catch (error) {
      tray.release(false);
      if (error.conflicts) {
        tray.refuse(error.conflicts, some);
        openTray(true);
      }
      return void api.complain(error);
    } finally {
      saving = false;
      drawTray();
    }
    await refresh(made).catch(api.complain); // with a new comparison, which may take a while; deciding and saving go on meanwhile
  }

  // The bar

  function drawTarget() {
    const { positions, chosen, id } = target(), text = $("decide-target").firstElementChild;
    $("verdicts").hidden = $("decide-target").hidden = !positions.length;
    $("choose-none").hidden = !chosen;
    text.replaceChildren(id === null ? both(chosen ? "chosen_count" : "selected_count", { count: positions.length }) : named(id));
    const now = new Set(id === null ? [] : [tray.decided(id)?.kind]);
    for (const one of $("verdicts").children) one.setAttribute("aria-pressed", now.has(one.dataset.verdict));
    showBar();
  }

  function drawTray() {
    const all = tray.entries(), ready = tray.ready().length, again = all.length - ready;
    $("tray").hidden = !all.length;
    if (!all.length) openTray(false);
    const counts = ready === 1 ? [both("tray_one")] : ready ? [both("tray_count", { count: ready })] : [];
    if (again) counts.push(both("tray_changed", { count: again }));
    $("tray-count").replaceChildren(...counts.flatMap((one, at) => (at ? [" · ", one] : [one])));
    $("save").disabled = saving || !ready;
    $("save").replaceChildren(both(saving ? "saving" : "save"));
    $("take-all-back").disabled = all.every(tray.isHeld);
    drawList();
    showBar();
  }

  function showBar() {
    $("decide").hidden = $("verdicts").hidden && $("tray").hidden;
    document.body.style.setProperty("--bar", `${$("decide").hidden ? 0 : $("decide").offsetHeight}px`);
  }

  new ResizeObserver(showBar).observe($("decide"));

  function drawList() {
    if ($("tray-panel").hidden) return void $("tray-list").replaceChildren();
    const all = tray.entries().toReversed(), more = document.createElement("li");
    more.append(both("others_wait", { count: all.length - LISTED }));
    $("tray-list").replaceChildren(...all.slice(0, LISTED).map(entry), ...(all.length > LISTED ? [more] : []));
  }

  function entry(one) {
    const item = document.createElement("li"), picture = document.createElement("img"), text = document.createElement("div");
    item.classList.toggle("changed", one.changed !== null);
    picture.alt = "";
    sampleOf(one.id).then(({ picture: address }) => (picture.src = address), () => picture.remove());
    const said = document.createElement("strong");
    said.append(shown(tray.meaning(one)));
    const since = document.createElement("small");
    since.append(both("tray_since", { version: String(one.since) }));
    text.append(said, named(one.id), ...(one.since === data.store.version ? [] : [since]));
    item.append(picture, text);
    if (one.changed) {
      const why = document.createElement("p");
      why.className = "refusal";
      why.append(shown(one.changed));
      item.append(why, button("look_again", () => look(one.id)));
    }
    const back = button("take_back", () => tray.drop([one.id]));
    back.disabled = tray.isHeld(one);
    item.append(back);
    return item;
  }

  async function look(id) {
    openTray(false);
    await refresh().catch(api.complain);
    location.hash = `sample=${encodeURIComponent(id)}`;
  }

  function openTray(open) {
    $("tray-panel").hidden = !open;
    $("tray-open").setAttribute("aria-expanded", open);
    drawList();
  }

  const changed = () => (drawTray(), drawTarget(), document.dispatchEvent(new Event("tray")));

  $("verdicts").addEventListener("click", (event) => {
    const one = event.target.closest("[data-verdict]");
    if (one) decide(one.dataset.verdict);
  });
  $("tray-open").addEventListener("click", () => openTray($("tray-panel").hidden));
  $("tray-close").addEventListener("click", () => openTray(false));
  $("take-all-back").addEventListener("click", () => tray.drop(tray.entries().map(({ id }) => id)));
  $("choose-none").addEventListener("click", chooseNone);
  $("save").addEventListener("click", save);
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    save();
  });
  tray.open(data.store, changed);
  return {
    decide,
    say,
    drawTarget,
    toggleTray: () => tray.entries().length && openTray($("tray-panel").hidden),
    closeTray: () => !$("tray-panel").hidden && (openTray(false), true),
    takeLastBack: () => tray.drop(tray.entries().filter((one) => !tray.isHeld(one)).slice(-1).map(({ id }) => id)),
  };
}

export function named(id) {
  const name = document.createElement("bdi");
  name.className = "id";
  name.textContent = id;
  name.title = id;
  return name;
}

export function button(word, run, className = "button", values = {}) {
  const one = document.createElement("button");
  one.type = "button";
  one.className = className;
  one.append(both(word, values));
  one.addEventListener("click", run);
  return one;
}

// What was decided on a sample, or was before: a mark on its picture.
export function badge(one) {
  const waiting = tray.decided(one.id), kind = waiting?.kind ?? one.verdict;
  if (!kind) return null;
  const mark = document.createElement("span");
  mark.className = waiting ? "badge waiting" : "badge";
  mark.append(shown(pairOr(`short_${kind}`, kind)));
  return mark;
}
