// What the server renders: the card of a sample, and the prototypes.

import * as api from "./api.js";
import { badge } from "./deciding.js";
import { data } from "./data.js";

const $ = (id) => document.getElementById(id);
let fetching = null;

// Draw the card of a sample; gives its id, its position and the version that the card tells of, or null where it was not drawn.
// `before`: the id of the card that was there.
export async function drawCard(id, before) {
  fetching?.abort();
  fetching = new AbortController();
  const { signal } = fetching, card = $("card"), { version } = data.store;
  card.classList.add("waiting");
  try {
    card.innerHTML = await api.html("/card", { id }, signal); // made and escaped by the server
  } catch (error) {
    api.complain(error);
    return null;
  } finally {
    if (!signal.aborted) card.classList.remove("waiting");
  }
  if (before !== id) card.scrollTop = 0;
  return { id, seen: version, current: Number(card.querySelector("[data-at]").dataset.at) };
}

// What was decided on the sample of the card and is not saved yet; what was saved, the card says itself.
export function markCard(id) {
  const picture = $("card").querySelector(".odd > .picture"), mark = picture && badge({ id });
  picture?.querySelector(".badge")?.remove();
  if (mark) picture.append(mark);
}

let shown = null; // the version

export async function drawPrototypes() {
  const { version } = data.store;
  if (shown === version) return;
  shown = version;
  try {
    const made = await api.html("/prototypes");
    if (shown === version) $("prototypes").innerHTML = made; // made and escaped by the server
  } catch (error) {
    if (shown === version) shown = null;
    api.complain(error);
  }
}
