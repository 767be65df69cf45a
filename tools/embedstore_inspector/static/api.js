// Requests. Each names the version of the store that the page shows, so that two are never mixed.

import { pair, shown } from "./words.js";

const token = document.querySelector('meta[name="write-token"]').content;
let version = null, key = null;

export class Refusal extends Error {
  // `more`: what else the answer says; `asked`: the version that was asked of, null of a write.
  constructor(sentence, status, more = {}, asked = null) {
    super(sentence[0]);
    Object.assign(this, { sentence, status, conflicts: more.conflicts, old: more.old, asked });
  }
}

async function answer(request, asked = version) {
  let response;
  try {
    response = await request;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(pair("lost"), 0);
  }
  if (response.ok) return response;
  let sentence = [response.statusText, response.statusText], more = {};
  try {
    more = await response.json();
    sentence = [more.error.en, more.error.ja];
  } catch {
    // not of this server's making
  }
  throw new Refusal(sentence, response.status, more, asked);
}

// `values` may name an earlier version `v` with its `key`.
const address = (path, values) => `${path}?${new URLSearchParams({ v: version, key, ...values })}`;

export async function store() {
  const found = await (await answer(fetch("/api/store"))).json();
  [version, key] = [found.version, found.key];
  return found;
}

// What is served and what is there now; `other`: that is not the store that the page shows.
export async function state() {
  const found = await (await answer(fetch("/api/state"))).json();
  return { ...found, other: found.key !== key };
}

export const json = async (path, values = {}) => (await answer(fetch(address(path, values)), values.v)).json();
export const bytes = async (path, values = {}) => (await answer(fetch(address(path, values)))).arrayBuffer();
export const html = async (path, values = {}, signal = undefined) =>
  (await answer(fetch(address(path, values), { signal }))).text();
export const post = async (path, body, values = {}) =>
  (await answer(fetch(address(path, values), { method: "POST", body, headers: { "X-Embedstore-Token": token } }), null)).json();

// A notice that goes away by itself, or by a press; `action` is a button in it.
export function notice(sentence, { kind = "note", action = null, name = null, stays = false, seconds = 9 } = {}) {
  const place = document.getElementById("notices");
  if (name) place.querySelector(`[data-name="${name}"]`)?.remove();
  const one = document.createElement("div");
  one.className = `notice ${kind}`;
  if (name) one.dataset.name = name;
  const text = document.createElement("p");
  text.append(shown(sentence));
  one.append(text);
  if (action) {
    const button = document.createElement("button");
    button.className = "button";
    button.append(shown(action.words));
    button.addEventListener("click", () => (one.remove(), action.run()));
    one.append(button);
  }
  const close = document.createElement("button");
  close.className = "quiet-button";
  close.textContent = "×";
  close.setAttribute("aria-label", "Close / 閉じる");
  close.addEventListener("click", () => one.remove());
  one.append(close);
  place.append(one);
  if (!stays) setTimeout(() => one.remove(), 1000 * seconds);
  return one;
}

// Tell a refusal; one to read of a version that the page has left meanwhile needs no word.
export function complain(error) {
  if (error.name === "AbortError") return;
  if (!(error instanceof Refusal)) throw error;
  if (error.old && error.asked !== null && error.asked !== version) return;
  if (error.status === 409 && !error.conflicts && error.old) return void looksOld(error.sentence);
  notice(error.sentence, { kind: "caution", seconds: error.conflicts ? 20 : 9 });
}

let showNewest = () => location.reload();

// What to do where the page is of an old version.
export const onOld = (run) => (showNewest = run);

export function looksOld(sentence) {
  notice(sentence, { kind: "caution", name: "old", stays: true, action: { words: pair("reload"), run: () => showNewest() } });
}

export function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // an address that somebody typed; the server says that there is no such sample
  }
}
