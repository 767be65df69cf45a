// The tray: decisions that are not saved yet. They outlive a reload of this tab, each with the version that was on the screen.

import { pair } from "./words.js";

export const MOST = 1000; // that can be saved together
const KINDS = ["rare", "wrong-label", "dirt", "twin"];

const decisions = new Map(); // id -> { id, kind, value, since, changed: null or [en, ja] }
let place = null, heard = () => {}, held = new Set(); // `held`: those that are being saved

export const entries = () => [...decisions.values()];
export const decided = (id) => decisions.get(id);
export const ready = () => entries().filter((one) => !one.changed);
export const isHeld = (one) => held.has(one);
export const isSame = (one, other) => one?.kind === other.kind && one.value === other.value;

const fits = (one) =>
  typeof one?.id === "string" && KINDS.includes(one.kind) && Number.isInteger(one.since) &&
  (one.value === null || typeof one.value === "string") && (one.changed === null || one.changed?.length === 2);

// Take up what this tab decided on a store before; `changed` is called after each change.
export function open(store, changed) {
  heard = changed;
  place = `embedstore-tray-${store.key}`;
  try {
    for (const one of JSON.parse(sessionStorage.getItem(place) ?? "[]")) {
      if (!fits(one)) continue;
      if (one.since > store.version) one.changed = pair("put_back"); // nothing tells what was seen then
      decisions.set(one.id, one);
    }
  } catch {
    // a browser that keeps nothing, or what it kept was not ours
  }
  heard();
}

function keep() {
  try {
    if (decisions.size) sessionStorage.setItem(place, JSON.stringify(entries()));
    else sessionStorage.removeItem(place);
  } catch {
    // see `open`; leaving is warned of all the same
  }
  heard();
}

// Decide on some samples; false where the tray would be too full.
export const put = (ids, kind, value, since) => add(ids.map((id) => ({ id, kind, value, since, changed: null })));

// Take up decisions, each in place of the one on its sample; false as in `put`.
export function add(some) {
  if (new Set([...decisions.keys(), ...some.map(({ id }) => id)]).size > MOST) return false;
  for (const one of some) {
    decisions.delete(one.id); // the last decision comes last
    decisions.set(one.id, one);
  }
  keep();
  return true;
}

// Take decisions back, other than those that are being saved.
export function drop(ids) {
  for (const id of ids) if (!isHeld(decisions.get(id))) decisions.delete(id);
  keep();
}

export function hold(some) {
  held = new Set(some);
  heard();
}

// They were saved, or were not: those stay. What was decided anew meanwhile stays as well.
export function release(saved) {
  const some = saved ? [...held] : [];
  held = new Set();
  drop(some.filter((one) => decisions.get(one.id) === one).map(({ id }) => id));
}

// What others have changed since, of some decisions that were sent, is not sent again before it was looked at.
export function refuse(conflicts, some) {
  const told = new Map(conflicts.map(({ id, en, ja }) => [id, [en, ja]]));
  for (const one of some) one.changed = told.get(one.id) ?? one.changed;
  keep();
}

export const sent = (some) => JSON.stringify({ verdicts: some.map(({ id, kind, value, since }) => ({ id, kind, value, since })) });

// A decision in words.
export const meaning = ({ kind, value }) => pair(value === null ? `verdict_${kind}` : `means_${kind}`, { value });

let leaving = false;

// Load the page anew without a question: what is here is kept, under the store that it is of.
export function reload() {
  leaving = true;
  location.reload();
}

addEventListener("beforeunload", (event) => {
  if (decisions.size && !leaving) event.preventDefault();
});
