// Suggestions: one at a time, with its pictures, its reason, and what it proposes to say.

import * as api from "./api.js";
import { badge, button, named } from "./deciding.js";
import { data, sample } from "./data.js";
import * as tray from "./tray.js";
import { both, pairOr, shown } from "./words.js";

const MOST = 9, NEAREST = 5; // pictures of a suggestion; of those that are like it, where it speaks of one alone

export class Suggestions {
  // `listed(kind, positions)` is told which pictures are spoken of; `moved()` that another suggestion is shown.
  constructor(place, { say, listed, moved }) {
    Object.assign(this, { place, say, listed, moved });
    this.version = null; // of the store that these were found in
    this.kinds = [];
    this.kind = null;
    this.at = 0;
    this.drawn = undefined; // the one whose card is on the screen
    this.skipped = new Set();
    this.answered = new Set(); // decided on while they were on the screen
    document.addEventListener("tray", () => this.version !== null && this.draw());
  }

  // Show those of the version that the page shows; they are looked for when they are first wanted.
  async show() {
    const { version } = data.store;
    if (this.version === version) return void this.tell();
    if (this.version === null) this.place.replaceChildren(paragraph("empty", both("suggesting")));
    this.place.classList.add("waiting");
    let found;
    try {
      found = await api.json("/api/suggestions");
    } finally {
      this.place.classList.remove("waiting");
    }
    if (found.version !== data.store.version) return;
    const kept = this.kinds.some(({ kind }) => kind === this.kind);
    Object.assign(this, { version: found.version, kinds: found.kinds });
    if (!kept) this.kind = (this.kinds.find(({ suggestions }) => suggestions.length) ?? this.kinds[0])?.kind ?? null;
    this.at = this.open(-1);
    this.tell();
    await this.draw();
  }

  get all() {
    return this.kinds.find(({ kind }) => kind === this.kind)?.suggestions ?? [];
  }

  get one() {
    return this.all[this.at];
  }

  // The one on the screen; none while another is being drawn, so that nothing is said of what nobody has seen.
  get seen() {
    return this.drawn === this.one ? this.drawn : undefined;
  }

  name = (one) => JSON.stringify([this.kind, one.at, one.verdicts]);
  // What was decided elsewhere on its pictures is no answer to it, unless that is just what it proposes.
  isSaid = (one, said) => tray.decided(said.id) && (this.answered.has(this.name(one)) || tray.isSame(tray.decided(said.id), said));
  inTray = (one) => one.verdicts.length > 0 && one.verdicts.every((said) => this.isSaid(one, said));
  isDone = (one) => this.skipped.has(this.name(one)) || this.inTray(one);

  // The place of the next one after `at` that nothing was said of; the first of those before where none comes after.
  open(at) {
    const open = this.all.map((one, place) => (this.isDone(one) ? -1 : place)).filter((place) => place >= 0);
    return open.find((place) => place > at) ?? open[0] ?? Math.max(0, Math.min(at, this.all.length - 1));
  }

  tell() {
    this.listed(this.kind, [...new Set(this.all.map(({ at }) => at[0]))]);
  }

  choose(kind) {
    this.kind = kind;
    this.at = this.open(-1);
    this.tell();
    this.draw();
  }

  step(by) {
    this.at = Math.max(0, Math.min(this.all.length - 1, this.at + by));
    this.draw();
  }

  goTo(position) {
    const at = this.all.findIndex((one) => one.at[0] === position);
    if (at >= 0) this.at = at;
    this.draw();
  }

  // Something was decided on some pictures while this was on the screen.
  answer(ids) {
    const { seen: one } = this;
    if (one?.verdicts.some(({ id }) => ids.includes(id))) this.answered.add(this.name(one));
  }

  agree() {
    const { seen: one } = this;
    if (!one?.verdicts.length) return;
    for (const { id, kind, value } of one.verdicts) if (!this.say([id], kind, value, this.version)) return;
    this.next();
  }

  // The label that it has is right, which is a verdict too: it is not suggested again.
  async confirm() {
    const { seen: one, version } = this, said = one?.verdicts.find(({ kind }) => kind === "wrong-label");
    if (!said) return;
    const { id, label } = await sample(one.at[0]);
    if (id === said.id && label !== null && this.say([id], "wrong-label", label, version)) this.next();
  }

  skip() {
    if (!this.seen) return;
    this.skipped.add(this.name(this.seen));
    this.next();
  }

  next() {
    this.at = this.open(this.at);
    this.draw();
  }

  draw() {
    // Positions mean the samples of one version; where the page has left that, others are on their way.
    return this.version === data.store.version ? this.put().catch(api.complain) : Promise.resolve();
  }

  async put() {
    const { one } = this, remarks = this.kinds.find(({ kind }) => kind === this.kind)?.remarks ?? [];
    const parts = [this.tabs()];
    if (one) parts.push(await this.card(one));
    else parts.push(paragraph("empty", both("no_suggestion")));
    if (one !== this.one) return; // another was chosen meanwhile
    if (one && this.all.every(this.isDone)) parts.splice(1, 0, paragraph("done", both("all_suggestions_done")));
    if (remarks.length) parts.push(notes(remarks));
    const held = this.place.contains(document.activeElement);
    this.place.replaceChildren(...parts);
    if (held) this.place.focus({ preventScroll: true }); // the button that was pressed is gone
    this.drawn = one;
    this.moved();
  }

  tabs() {
    const bar = document.createElement("div");
    bar.className = "kinds";
    for (const { kind, suggestions } of this.kinds) {
      const tab = document.createElement("button"), count = document.createElement("small");
      tab.className = "legend-item";
      tab.setAttribute("aria-pressed", kind === this.kind);
      count.textContent = suggestions.length;
      tab.append(shown(pairOr(`kind_${kind}`, kind)), count);
      tab.addEventListener("click", () => this.choose(kind));
      bar.append(tab);
    }
    return bar;
  }

  async card(one) {
    const samples = await Promise.all(one.at.slice(0, MOST).map(sample)), card = document.createElement("article");
    const alone = samples.length === 1, near = alone ? await nearest(samples[0]) : samples.slice(1);
    card.className = "suggestion";
    const head = document.createElement("div"), reason = paragraph("reason", shown([one.reason.en, one.reason.ja]));
    head.className = "suggestion-head";
    const place = paragraph("place", both("place", { place: this.at + 1, count: this.all.length }));
    const state = this.inTray(one) ? "in_tray" : this.isDone(one) ? "skipped" : null;
    head.append(place, ...(state ? [paragraph("state", both(state))] : []));
    const proposed = document.createElement("div");
    proposed.className = "proposed";
    if (one.verdicts.length) {
      const title = paragraph("row-title", both("proposed"));
      proposed.append(title, ...one.verdicts.map((said) => this.proposal(said, samples[0].id)));
    } else proposed.append(paragraph("row-title", both("nothing_proposed")));
    const answers = document.createElement("div");
    answers.className = "answers";
    if (one.verdicts.length) answers.append(keyed(button("looks_right", () => this.agree(), "button strong"), "Y"));
    if (one.verdicts.some(({ id, kind }) => kind === "wrong-label" && id === samples[0].id) && samples[0].label !== null) {
      answers.append(keyed(button("keep_label", () => this.confirm(), "button", { label: samples[0].label }), "O"));
    }
    answers.append(keyed(button("skip", () => this.skip()), "N"));
    const text = document.createElement("div");
    text.className = "suggestion-text";
    text.append(head, reason, proposed, answers);
    const row = document.createElement("div");
    row.className = "suggestion-others";
    row.append(...near.map((each) => pictured(each, false)));
    card.append(pictured(samples[0], true), text, ...(alone ? [paragraph("row-title", both("nearest"))] : []), row);
    return card;
  }

  proposal({ id, kind, value }, first) {
    const line = paragraph("proposal", shown(tray.meaning({ kind, value })));
    if (id !== first) line.append(" ", named(id));
    return line;
  }
}

async function nearest({ at, id }) {
  const { hits } = await api.json("/api/like", { id });
  return Promise.all(hits.filter((hit) => hit.at !== at).slice(0, NEAREST).map((hit) => sample(hit.at)));
}

function pictured(one, large) {
  const figure = document.createElement("figure"), link = document.createElement("a"), picture = document.createElement("img");
  figure.className = large ? "picture large" : "picture";
  link.href = `#sample=${encodeURIComponent(one.id)}`;
  picture.src = large ? one.large : one.picture;
  picture.alt = picture.title = one.id;
  link.append(picture);
  const mark = badge(one);
  if (mark) link.append(mark);
  const caption = document.createElement("figcaption"), label = document.createElement("strong");
  if (one.label === null) label.append(both("without"));
  else label.textContent = one.mode && one.mode !== one.label ? `${one.label} · ${one.mode}` : one.label;
  const side = document.createElement("span");
  side.textContent = one.split ?? "";
  caption.append(label, " ", side, " ", named(one.id));
  figure.append(link, caption);
  return figure;
}

function notes(remarks) {
  const fold = document.createElement("aside");
  fold.className = "callout";
  fold.append(...remarks.map(({ en, ja }) => paragraph("", shown([en, ja]))));
  return fold;
}

function keyed(one, key) {
  const mark = document.createElement("kbd");
  mark.textContent = key;
  one.append(mark);
  return one;
}

function paragraph(name, content) {
  const one = document.createElement("p");
  one.className = name;
  one.append(content);
  return one;
}
