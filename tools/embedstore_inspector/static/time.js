// What takes time: the comparison under way, and what others do to the store meanwhile.

import * as api from "./api.js";
import { both, pair } from "./words.js";

const EVERY = 4000; // milliseconds between two looks

// Show how far the comparison is until `work` is done; gives what that gives.
export async function toldOf(work) {
  const wait = api.notice(pair("summarising"), { name: "comparing", stays: true });
  let done = false;
  const tell = async () => {
    if (done) return;
    const { compared, total } = await api.state().catch(() => ({ compared: 0, total: 0 }));
    if (compared && !done) wait.querySelector("p").replaceChildren(both("comparing", { done: compared, total }));
    setTimeout(tell, 700);
  };
  setTimeout(tell, 700);
  try {
    return await work();
  } finally {
    done = true;
    wait.remove();
  }
}

// Say where the store is at another version than the page, whose version `shown()` gives (null while it moves on), and where
// the server is gone: now and then, and when a reader comes back to the page. `mapped(maps)` is told which maps there are.
export function watch(shown, mapped) {
  const look = async () => {
    try {
      const { version, newest, other, maps } = await api.state(), here = shown();
      document.querySelector('[data-name="lost"]')?.remove();
      if (here === null) return;
      if (newest !== here || version !== here || other) api.looksOld(pair("newer", { version: String(newest) }));
      else mapped(maps);
    } catch (error) {
      if (error instanceof api.Refusal && !document.querySelector('[data-name="lost"]')) {
        api.notice(error.sentence, { kind: "caution", name: "lost", stays: true });
      }
    }
  };
  setInterval(look, EVERY);
  document.addEventListener("visibilitychange", () => document.hidden || look());
}
