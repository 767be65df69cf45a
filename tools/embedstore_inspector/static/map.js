// The map: points drawn pixel by pixel on one canvas, what follows the pointer on another above it.

import { mixed } from "./colours.js";

const CELLS = 128; // of the grid by which the point under the pointer is found, a side
const FAR = 400, REACH = 14; // most zoom; CSS pixels around the pointer

// How much of each pixel a disc covers, as rows of [dx, dy, share].
function disc(radius) {
  const pixels = [], wide = Math.ceil(radius);
  for (let y = -wide; y <= wide; y++) {
    for (let x = -wide; x <= wide; x++) {
      const share = Math.min(1, Math.max(0, radius + 0.5 - Math.hypot(x, y)));
      if (share > 0.02) pixels.push(x, y, share);
    }
  }
  return pixels;
}

export class PointMap {
  // `hovered(point | -1, x, y)`, `opened(point)` and `selected(points)` are told what a reader does.
  constructor(plot, { hovered, opened, selected, moved }) {
    this.plot = plot;
    [this.canvas, this.overlay] = plot.querySelectorAll("canvas");
    Object.assign(this, { hovered, opened, selected, moved });
    this.count = 0;
    this.places = new Uint16Array(0);
    this.view = { scale: 1, x: 0, y: 0 };
    this.lassoing = false;
    this.current = -1;
    this.pointers = new Map();
    this.path = [];
    this.keyboard = false;
    new ResizeObserver(() => this.resize()).observe(plot);
    this.listen();
  }

  // Data

  load(places) {
    this.places = places;
    this.count = places.length / 2;
    let [left, top, right, bottom] = [65535, 65535, 0, 0];
    for (let at = 0; at < places.length; at += 2) {
      left = Math.min(left, places[at]);
      right = Math.max(right, places[at]);
      top = Math.min(top, places[at + 1]);
      bottom = Math.max(bottom, places[at + 1]);
    }
    this.box = { left, top, right, bottom };
    this.index();
    this.whole();
  }

  // Points sorted by the cell of a grid that they lie in.
  index() {
    const starts = new Uint32Array(CELLS * CELLS + 1), cell = (at) =>
      (this.places[2 * at] >> 9) + CELLS * (this.places[2 * at + 1] >> 9);
    for (let at = 0; at < this.count; at++) starts[cell(at) + 1]++;
    for (let at = 0; at < CELLS * CELLS; at++) starts[at + 1] += starts[at];
    const next = starts.slice(), sorted = new Uint32Array(this.count);
    for (let at = 0; at < this.count; at++) sorted[next[cell(at)]++] = at;
    this.grid = { starts, sorted };
  }

  // `colour(at)` gives [r, g, b]; `order` is drawn from first to last; `shown` and `lit` are masks, `lit` may be null.
  paint({ colours, order, shown, lit, palette }) {
    Object.assign(this, { colours, order, shown, lit, palette });
    this.draw();
  }

  // Where it looks

  whole() {
    const { left, top, right, bottom } = this.box, room = 28;
    const wide = Math.max(right - left, 1), high = Math.max(bottom - top, 1);
    const { clientWidth: width, clientHeight: height } = this.plot;
    this.least = Math.max(1e-4, Math.min((width - 2 * room) / wide, (height - 2 * room) / high));
    this.view = {
      scale: this.least,
      x: width / 2 - ((left + right) / 2) * this.least,
      y: height / 2 - ((top + bottom) / 2) * this.least,
    };
    this.draw();
  }

  zoom(factor, x = this.plot.clientWidth / 2, y = this.plot.clientHeight / 2) {
    const scale = Math.min(FAR * this.least, Math.max(0.5 * this.least, this.view.scale * factor));
    const grown = scale / this.view.scale;
    this.view = { scale, x: x - (x - this.view.x) * grown, y: y - (y - this.view.y) * grown };
    this.draw();
  }

  pan(x, y) {
    this.view.x += x;
    this.view.y += y;
    this.draw();
  }

  show(point) {
    if (point < 0) return;
    const [x, y] = this.place(point), { clientWidth: width, clientHeight: height } = this.plot;
    if (x < 20 || y < 20 || x > width - 20 || y > height - 20) this.pan(width / 2 - x, height / 2 - y);
    else this.drawOverlay();
  }

  place(point) {
    return [this.places[2 * point] * this.view.scale + this.view.x, this.places[2 * point + 1] * this.view.scale + this.view.y];
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.plot, ratio = Math.min(2, devicePixelRatio || 1);
    if (!width || !height) return;
    const before = this.size;
    this.ratio = ratio;
    this.size = [width, height];
    for (const canvas of [this.canvas, this.overlay]) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    if (!this.count) return;
    if (!before || Math.abs(this.view.scale / this.least - 1) < 0.01) this.whole();
    else this.pan((width - before[0]) / 2, (height - before[1]) / 2);
  }

  // Drawing

  draw() {
    if (!this.waiting) this.waiting = requestAnimationFrame(() => ((this.waiting = 0), this.drawPoints(), this.drawOverlay()));
  }

  get radius() {
    const crowd = Math.max(1.25, Math.min(4.2, 9 - 1.6 * Math.log10(Math.max(this.count, 1))));
    const room = Math.min(1, Math.max(0.6, Math.min(...(this.size ?? [600])) / 560));
    return crowd * room * Math.min(2.2, Math.pow(Math.max(1, this.view.scale / this.least), 0.22));
  }

  drawPoints() {
    if (!this.order || !this.size) return;
    const started = performance.now(), { width, height } = this.canvas, context = this.canvas.getContext("2d", { alpha: false });
    const image = context.createImageData(width, height), pixels = new Uint32Array(image.data.buffer);
    const { paper, quiet } = this.palette, data = image.data;
    pixels.fill((255 << 24) | (paper[2] << 16) | (paper[1] << 8) | paper[0]);
    const stamp = disc(this.radius * this.ratio), speck = disc(Math.max(0.8, this.radius * 0.6) * this.ratio);
    const scale = this.view.scale * this.ratio, left = this.view.x * this.ratio, top = this.view.y * this.ratio;
    const put = (at, [r, g, b], shape) => {
      const x = Math.round(this.places[2 * at] * scale + left), y = Math.round(this.places[2 * at + 1] * scale + top);
      if (x < -9 || y < -9 || x > width + 9 || y > height + 9) return;
      for (let part = 0; part < shape.length; part += 3) {
        const px = x + shape[part], py = y + shape[part + 1], share = shape[part + 2];
        if (px < 0 || py < 0 || px >= width || py >= height) continue;
        const to = 4 * (py * width + px);
        data[to] += (r - data[to]) * share;
        data[to + 1] += (g - data[to + 1]) * share;
        data[to + 2] += (b - data[to + 2]) * share;
      }
    };
    const faint = mixed(paper, quiet, 0.28), { order, shown, lit, colours } = this;
    for (const at of order) if (!shown[at]) put(at, faint, speck);
    if (lit) {
      for (const at of order) if (shown[at] && !lit[at]) put(at, mixed(paper, colours(at), 0.3), stamp);
      for (const at of order) if (shown[at] && lit[at]) put(at, colours(at), stamp);
    } else for (const at of order) if (shown[at]) put(at, colours(at), stamp);
    context.putImageData(image, 0, 0);
    this.took = performance.now() - started;
    if (!this.painted) {
      this.painted = true;
      performance.mark("points-painted");
    }
  }

  drawOverlay() {
    const context = this.overlay.getContext("2d");
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.clearRect(0, 0, ...(this.size ?? [0, 0]));
    if (!this.palette) return;
    const ink = `rgb(${this.palette.ink.join(" ")})`;
    const ring = (point, radius, width) => {
      context.beginPath();
      context.arc(...this.place(point), radius, 0, 7);
      context.lineWidth = width;
      context.strokeStyle = ink;
      context.stroke();
    };
    if (this.current >= 0) ring(this.current, this.radius + 5, 2.5);
    if (this.under >= 0) ring(this.under, this.radius + 3, 1.5);
    if (this.keyboard) {
      const [x, y] = [this.size[0] / 2, this.size[1] / 2];
      context.beginPath();
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
        context.moveTo(x + 4 * dx, y + 4 * dy);
        context.lineTo(x + 13 * dx, y + 13 * dy);
      }
      context.lineWidth = 1.5;
      context.strokeStyle = ink;
      context.stroke();
    }
    if (this.path.length > 1) {
      context.beginPath();
      this.path.forEach(([x, y], at) => (at ? context.lineTo(x, y) : context.moveTo(x, y)));
      context.closePath();
      context.globalAlpha = 0.12;
      context.fillStyle = this.palette.accent;
      context.fill();
      context.globalAlpha = 1;
      context.lineWidth = 1.75;
      context.setLineDash([5, 4]);
      context.strokeStyle = this.palette.accent;
      context.stroke();
      context.setLineDash([]);
    }
  }

  // Finding points

  nearest(x, y, reach = REACH) {
    const { scale, x: left, y: top } = this.view, cells = (value) => Math.min(CELLS - 1, Math.max(0, value >> 9));
    const from = [cells((x - reach - left) / scale), cells((y - reach - top) / scale)];
    const to = [cells((x + reach - left) / scale), cells((y + reach - top) / scale)];
    let best = -1, least = reach * reach;
    for (let row = from[1]; row <= to[1]; row++) {
      for (let at = this.grid.starts[from[0] + CELLS * row]; at < this.grid.starts[to[0] + CELLS * row + 1]; at++) {
        const point = this.grid.sorted[at];
        if (!this.shown[point]) continue;
        const [px, py] = this.place(point), away = (px - x) ** 2 + (py - y) ** 2;
        if (away < least) [best, least] = [point, away];
      }
    }
    return best;
  }

  inView() {
    const { clientWidth: width, clientHeight: height } = this.plot;
    return this.within([[0, 0], [width, 0], [width, height], [0, height]]);
  }

  // The shown points inside of a polygon, by the even-odd rule.
  within(path) {
    const xs = path.map(([x]) => x), ys = path.map(([, y]) => y);
    const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
    const found = [];
    for (let at = 0; at < this.count; at++) {
      if (!this.shown[at]) continue;
      const [x, y] = this.place(at);
      if (x < left || x > right || y < top || y > bottom) continue;
      let inside = false;
      for (let one = 0, last = path.length - 1; one < path.length; last = one++) {
        const [ax, ay] = path[one], [bx, by] = path[last];
        if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) inside = !inside;
      }
      if (inside) found.push(at);
    }
    return found;
  }

  // What a reader does

  setLasso(on) {
    this.lassoing = on;
    this.plot.classList.toggle("lassoing", on);
  }

  listen() {
    const over = this.overlay, spot = (event) => {
      const box = over.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    over.addEventListener("wheel", (event) => {
      event.preventDefault();
      const step = event.deltaMode === 1 ? 24 * event.deltaY : event.deltaY;
      this.zoom(Math.exp(-Math.max(-240, Math.min(240, step)) * 0.0022), ...spot(event));
    }, { passive: false });
    over.addEventListener("pointerdown", (event) => {
      if (event.button > 0) return;
      over.setPointerCapture(event.pointerId);
      this.keyboard = false;
      this.pointers.set(event.pointerId, spot(event));
      if (this.pointers.size === 1) {
        this.start = spot(event);
        this.dragged = false;
        this.path = this.lassoing || event.shiftKey ? [spot(event)] : [];
      } else this.path = [];
      this.hover(-1);
    });
    over.addEventListener("pointermove", (event) => {
      const at = spot(event), before = this.pointers.get(event.pointerId);
      if (!before) return void (event.pointerType === "mouse" && this.count && this.hover(this.nearest(...at), ...at));
      if (this.pointers.size === 2) this.pinch(event.pointerId, at);
      else if (this.path.length) {
        const [x, y] = this.path.at(-1);
        if (Math.hypot(at[0] - x, at[1] - y) > 3) this.path.push(at);
        this.dragged = true;
        this.drawOverlay();
      } else if (this.dragged || Math.hypot(at[0] - this.start[0], at[1] - this.start[1]) > 4) {
        this.dragged = true;
        this.plot.classList.add("panning");
        this.pan(at[0] - before[0], at[1] - before[1]);
      }
      this.pointers.set(event.pointerId, at);
    });
    const ended = (event) => {
      if (!this.pointers.delete(event.pointerId) || this.pointers.size) return;
      this.plot.classList.remove("panning");
      const path = this.path;
      this.path = [];
      this.drawOverlay();
      if (event.type === "pointercancel") return;
      if (path.length > 2) this.selected(this.within(path));
      else if (!this.dragged && this.count) {
        const point = this.nearest(...spot(event), event.pointerType === "mouse" ? REACH : 2 * REACH);
        if (point >= 0) this.opened(point);
      }
    };
    over.addEventListener("pointerup", ended);
    over.addEventListener("pointercancel", ended);
    over.addEventListener("pointerleave", () => this.hover(-1));
    over.addEventListener("blur", () => ((this.keyboard = false), this.hover(-1)));
    over.addEventListener("keydown", (event) => this.key(event));
  }

  pinch(moving, at) {
    this.dragged = true;
    const [[, still]] = [...this.pointers].filter(([id]) => id !== moving), before = this.pointers.get(moving);
    const apart = (spot) => Math.hypot(spot[0] - still[0], spot[1] - still[1]);
    const middle = [(at[0] + still[0]) / 2, (at[1] + still[1]) / 2];
    this.pan((at[0] - before[0]) / 2, (at[1] - before[1]) / 2);
    this.zoom(Math.max(apart(at), 1) / Math.max(apart(before), 1), ...middle);
  }

  hover(point, x, y) {
    if (point === this.under) return;
    this.under = point;
    this.plot.classList.toggle("on-point", point >= 0);
    this.drawOverlay();
    this.hovered(point, x, y);
  }

  key(event) {
    const steps = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (steps) this.pan(60 * steps[0], 60 * steps[1]);
    else if (event.key === "Enter" && this.under >= 0) this.opened(this.under);
    else return;
    event.preventDefault();
    event.stopPropagation();
    this.keyboard = true;
    const middle = [this.plot.clientWidth / 2, this.plot.clientHeight / 2];
    if (this.count) this.hover(this.nearest(...middle, 60), ...middle);
  }
}
