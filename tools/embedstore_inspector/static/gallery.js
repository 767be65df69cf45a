// The gallery: only the cells in sight exist, so that a hundred thousand pictures scroll as ten do.

import { complain } from "./api.js";
import { data, known, sample } from "./data.js";
import { badge } from "./deciding.js";
import { both, shown } from "./words.js";

const GAP = 10, CAPTION = 40;
const LONG = 500; // milliseconds of a press by which a finger chooses

export class Gallery {
  // `opened(position)` is called where a reader opens a picture, `chose()` where some are chosen, for a decision on all of them;
  // `caption(position)` gives [en, ja] or null.
  constructor(scroller, cells, { opened, chose }) {
    Object.assign(this, { scroller, cells, opened, chose });
    this.positions = [];
    this.chosen = new Set(); // positions
    this.since = null; // the version at which the first of them was chosen
    this.anchor = 0; // place that Shift chooses from
    this.caption = () => null;
    this.drawn = new Map();
    this.current = -1;
    this.focused = 0;
    scroller.addEventListener("scroll", () => this.draw(), { passive: true });
    new ResizeObserver(() => this.measure()).observe(scroller);
    cells.addEventListener("click", (event) => {
      const cell = event.target.closest(".cell");
      if (!cell) return;
      const place = Number(cell.dataset.place);
      if (this.held) this.held = false; // the click that ends a long press
      else if (event.shiftKey) this.chooseTo(place);
      else if (event.ctrlKey || event.metaKey || (event.pointerType === "touch" && this.chosen.size)) this.toggle(place);
      else this.opened(Number(cell.dataset.at));
    });
    cells.addEventListener("keydown", (event) => this.key(event));
    this.listenToLongPresses();
  }

  listenToLongPresses() {
    const { cells } = this, stop = () => clearTimeout(this.pressing);
    cells.addEventListener("pointerdown", (event) => {
      const cell = event.target.closest(".cell");
      this.held = false;
      stop();
      if (!cell || event.pointerType === "mouse") return;
      this.pressing = setTimeout(() => ((this.held = true), this.toggle(Number(cell.dataset.place))), LONG);
    });
    for (const one of ["pointerup", "pointercancel", "pointerleave"]) cells.addEventListener(one, stop);
    this.scroller.addEventListener("scroll", stop, { passive: true });
    cells.addEventListener("contextmenu", (event) => this.held && event.preventDefault());
  }

  // Choosing

  toggle(place) {
    const position = this.positions[place];
    if (position === undefined) return;
    if (!this.chosen.delete(position)) this.chosen.add(position);
    this.anchor = place;
    this.remark();
  }

  chooseTo(place) {
    const [from, to] = [this.anchor, place].sort((a, b) => a - b);
    for (let at = from; at <= to; at++) this.chosen.add(this.positions[at]);
    this.remark();
  }

  chooseNone() {
    this.chosen.clear();
    this.remark();
  }

  remark() {
    this.since = this.chosen.size ? (this.since ?? data.store.version) : null;
    for (const cell of this.drawn.values()) this.mark(cell, Number(cell.dataset.at) === this.current);
    this.chose();
  }

  // Draws what was decided anew.
  badges() {
    for (const cell of this.drawn.values()) this.decorate(cell, known(Number(cell.dataset.at)));
  }

  decorate(cell, one) {
    const frame = cell.firstElementChild, mark = one && badge(one);
    frame.querySelector(".badge")?.remove();
    if (mark) frame.append(mark);
  }

  // `stay`: the reader looks at the same list still.
  fill(positions, caption = () => null, stay = false) {
    this.positions = positions;
    this.caption = caption;
    this.focused = 0;
    this.anchor = 0;
    const there = new Set(positions), before = this.chosen.size;
    for (const position of this.chosen) if (!there.has(position)) this.chosen.delete(position);
    if (!stay) this.scroller.scrollTop = 0;
    this.redraw();
    if (!this.chosen.size) this.since = null;
    if (before !== this.chosen.size) this.chose();
  }

  redraw() {
    this.cells.replaceChildren();
    this.drawn.clear();
    this.measure();
  }

  measure() {
    const width = this.scroller.clientWidth - 2 * 16;
    if (width <= 0) return;
    const least = width < 380 ? 100 : 118;
    this.columns = Math.max(2, Math.floor((width + GAP) / (least + GAP)));
    this.side = (width - GAP * (this.columns - 1)) / this.columns;
    this.step = Math.round(this.side * 0.86) + CAPTION + GAP;
    this.cells.style.height = `${Math.ceil(this.positions.length / this.columns) * this.step}px`;
    for (const [at, cell] of this.drawn) this.set(cell, at);
    this.draw();
  }

  set(cell, at) {
    cell.style.width = `${this.side}px`;
    cell.style.height = `${this.step - GAP}px`;
    cell.style.transform = `translate(${(at % this.columns) * (this.side + GAP)}px, ${Math.floor(at / this.columns) * this.step}px)`;
  }

  draw() {
    if (!this.columns) return;
    const { scrollTop, clientHeight } = this.scroller;
    const first = Math.max(0, Math.floor((scrollTop - clientHeight / 2) / this.step) * this.columns);
    const last = Math.min(this.positions.length, Math.ceil((scrollTop + 1.5 * clientHeight) / this.step) * this.columns);
    for (const [at, cell] of this.drawn) {
      if (at < first || at >= last) {
        cell.remove();
        this.drawn.delete(at);
      }
    }
    for (let at = first; at < last; at++) {
      if (!this.drawn.has(at)) {
        const cell = this.make(at);
        this.set(cell, at);
        this.drawn.set(at, cell);
        this.cells.append(cell);
      }
    }
  }

  make(at) {
    const position = this.positions[at], cell = document.createElement("button");
    cell.className = "cell";
    cell.dataset.at = position;
    cell.dataset.place = at;
    cell.setAttribute("role", "option");
    cell.tabIndex = at === this.focused ? 0 : -1;
    this.mark(cell, position === this.current);
    const frame = document.createElement("span");
    frame.className = "frame";
    const caption = document.createElement("span");
    caption.className = "caption";
    cell.append(frame, caption);
    const fill = (one) => {
      const picture = document.createElement("img");
      picture.src = one.picture;
      picture.alt = one.id;
      picture.title = one.id;
      picture.decoding = "async";
      picture.draggable = false;
      frame.append(picture);
      const kind = document.createElement("strong");
      if (one.label === null) kind.append(both("without"));
      else kind.textContent = one.mode && one.mode !== one.label ? `${one.label} · ${one.mode}` : one.label;
      caption.append(kind);
      const note = this.caption(position);
      if (note) caption.append(shown(note));
      this.decorate(cell, one);
    };
    if (known(position)) fill(known(position));
    else sample(position).then(fill, complain);
    return cell;
  }

  mark(cell, current) {
    const chosen = this.chosen.has(Number(cell.dataset.at));
    cell.classList.toggle("current", current);
    cell.classList.toggle("chosen", chosen);
    cell.setAttribute("aria-selected", chosen || (current && !this.chosen.size));
  }

  choose(position) {
    this.current = position;
    for (const cell of this.drawn.values()) this.mark(cell, Number(cell.dataset.at) === position);
    const at = this.positions.indexOf(position);
    if (at >= 0) {
      this.anchor = at;
      this.reveal(at);
    }
    return at;
  }

  reveal(at) {
    const top = Math.floor(at / this.columns) * this.step, { scrollTop, clientHeight } = this.scroller;
    if (top < scrollTop) this.scroller.scrollTop = top;
    else if (top + this.step > scrollTop + clientHeight) this.scroller.scrollTop = top + this.step - clientHeight;
    this.draw();
  }

  key(event) {
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.columns, ArrowDown: this.columns, Home: -Infinity, End: Infinity };
    const step = steps[event.key], cell = event.target.closest(".cell");
    if (step === undefined || !cell) return;
    event.preventDefault();
    event.stopPropagation();
    const to = Math.min(this.positions.length - 1, Math.max(0, Number(cell.dataset.place) + step));
    cell.tabIndex = -1;
    this.focused = to;
    this.reveal(to);
    const next = this.drawn.get(to);
    next.tabIndex = 0;
    next.focus({ preventScroll: true });
  }
}
