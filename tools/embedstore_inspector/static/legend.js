// The legend: what the colours of the map mean; its items, and the lists beside the search, say what is shown.

import { css, mixed, palette } from "./colours.js";
import { data, refilter, share } from "./data.js";
import { both, number, pair, pairOr, relabel, shown, spoken } from "./words.js";

const FILTERS = ["label", "mode", "split", "verdict"];
const MOST = 40; // items; prototypes beyond are told as one

// Which ways of colouring there are now.
export function colourings() {
  const fields = FILTERS.filter((name) => varies(name));
  const kinds = fields.length ? fields : ["label"];
  return data.distance ? [...kinds, ...Object.keys(data.scales), "prototype"] : kinds;
}

const varies = (name) => data.fields[name].counts.filter((count) => count).length > 1;

// What the map needs to be drawn by a field, or by oddness.
export function colouring(by, colours) {
  const { count } = data.store, order = Uint32Array.from({ length: count }, (_, at) => at);
  if (by in data.scales) {
    const shares = Float32Array.from(order, (at) => share(by, at));
    order.sort((a, b) => (shares[a] || 0) - (shares[b] || 0));
    const steps = Array.from({ length: 65 }, (_, at) => colours.ramp(at / 64));
    return { order, colours: (at) => (Number.isNaN(shares[at]) ? mixed(colours.paper, colours.quiet, 0.35) : steps[Math.round(64 * shares[at])]) };
  }
  const { codes, counts } = data.fields[by];
  if (!codes) return { order, colours: () => colours.quiet };
  order.sort((a, b) => counts[codes[b]] - counts[codes[a]] || a - b); // the rare on top
  return { order, colours: (at) => colourOf(codes[at], colours) };
}

// A value of a field in both languages: verdicts have words, all else is a name.
const valueOf = (name, text) => (name === "verdict" ? pairOr(`said_${text}`, text) : [text, text]);

// The frequent values have a colour of their own; one that came twice would tell two values to be one.
const colourOf = (code, { kinds, quiet }) => kinds[code - 1] ?? quiet;

// Fill a place only where what it tells has changed, so that a control that is in use stays. `make` gives the parts. Where it is
// filled anew, the focus goes to the control of the same name, or else to the place.
function fill(place, told, make) {
  const text = JSON.stringify(told);
  if (filled.get(place) === text) return;
  filled.set(place, text);
  const held = place.contains(document.activeElement) ? (document.activeElement.dataset.control ?? "") : null;
  place.replaceChildren(...make());
  relabel();
  if (held !== null) ([...place.querySelectorAll("[data-control]")].find((one) => one.dataset.control === held) ?? place).focus();
}

const filled = new WeakMap(); // place -> what it tells

export function drawLegend(place, by, changed) {
  if (by in data.scales) drawRamp(place, by, palette(), changed);
  else drawKinds(place, by, palette(), changed);
}

function drawKinds(place, by, colours, changed) {
  const { values, counts } = data.fields[by], codes = [...values.keys()].map((at) => at + 1).filter((code) => counts[code]);
  if (counts[0]) codes.push(0);
  const name = (code) => (code ? valueOf(by, values[code - 1]) : pair("without"));
  const items = codes.slice(0, MOST).map((code) => ({ code, name: name(code), count: counts[code], colour: css(colourOf(code, colours)) }));
  const others = codes.length - items.length;
  fill(place, { by, items, others }, () => [...items.map((item) => kindItem(by, item, changed)), ...(others ? [more(others)] : [])]);
  const chosen = data.chosen[by];
  for (const item of place.querySelectorAll(".legend-item")) {
    const pressed = chosen.has(Number(item.dataset.code));
    item.setAttribute("aria-pressed", pressed);
    item.classList.toggle("off", chosen.size > 0 && !pressed);
  }
}

function kindItem(by, { code, name, count, colour }, changed) {
  const item = document.createElement("button"), dot = document.createElement("span"), text = document.createElement("bdi");
  const small = document.createElement("small");
  item.className = "legend-item";
  item.dataset.code = code;
  item.dataset.control = `${by} ${name[0]}`;
  dot.className = "dot-mark";
  dot.style.background = colour;
  text.append(shown(name));
  small.textContent = number(count);
  item.append(dot, text, small);
  item.addEventListener("click", () => {
    const chosen = data.chosen[by];
    if (!chosen.delete(code)) chosen.add(code);
    refilter();
    changed();
  });
  return item;
}

function more(count) {
  const text = document.createElement("span");
  text.className = "legend-more";
  text.append(both("others", { count }));
  return text;
}

const ENDS = { distance: ["usual", "odd"], percentile: ["usual", "odd"], error: ["right", "wrong"] };

function drawRamp(place, by, colours, changed) {
  const { low, high, from } = data.scales[by], steps = Array.from({ length: 128 }, (_, at) => css(colours.ramp(at / 127)));
  fill(place, { by, low, high, steps }, () => [ramp(by, { low, high, steps }, changed)]);
  place.querySelector("input").value = Math.round(100 * from);
}

function ramp(by, { low, high, steps }, changed) {
  const whole = document.createElement("label"), bar = document.createElement("canvas"), range = document.createElement("input");
  const track = document.createElement("span"), digits = by === "percentile" ? 0 : 2;
  whole.className = "ramp";
  track.className = "track";
  [bar.width, bar.height] = [steps.length, 1];
  const context = bar.getContext("2d");
  steps.forEach((colour, at) => {
    context.fillStyle = colour;
    context.fillRect(at, 0, 1, 1);
  });
  Object.assign(range, { type: "range", min: 0, max: 99 });
  range.dataset.label = "at_least";
  range.dataset.control = by;
  range.addEventListener("input", () => {
    data.scales[by].from = range.value / 100;
    refilter();
    changed();
  });
  const [start, end] = [low, high].map((value, at) => {
    const text = document.createElement("span");
    text.append(shown(pair(ENDS[by][at]).map((word) => `${word} ${number(value, digits)}`)));
    return text;
  });
  track.append(bar, range);
  whole.append(start, track, end);
  return whole;
}

// A list to choose from for each field that has something to choose, and a button that lets all pass again.
export function drawFilters(place, changed) {
  const lists = FILTERS.filter(varies).map((field) => {
    const { values, counts } = data.fields[field];
    const options = values.map((text, at) => [at + 1, `${spoken(valueOf(field, text))} (${number(counts[at + 1])})`]);
    return { field, options: options.filter(([code]) => counts[code]), none: counts[0] > 0 };
  });
  fill(place, lists, () => [...lists.map((list) => filter(list, changed)), clearing(changed)]);
  for (const list of place.querySelectorAll("select")) {
    const chosen = data.chosen[list.dataset.control];
    list.value = chosen.size > 1 ? "some" : chosen.size ? [...chosen][0] : "";
  }
  const clear = place.querySelector("button"), cut = Object.values(data.scales).some(({ from }) => from > 0);
  const idle = !cut && Object.values(data.chosen).every((chosen) => !chosen.size);
  if (idle && document.activeElement === clear) place.focus(); // which what is hidden would lose
  clear.hidden = idle;
}

function filter({ field, options, none }, changed) {
  const label = document.createElement("label"), word = document.createElement("span"), list = document.createElement("select");
  label.className = "chooser";
  word.append(both(field));
  list.dataset.control = field;
  const option = (value, words, text) => {
    const one = document.createElement("option");
    one.value = value;
    if (words) one.dataset.words = words;
    else one.textContent = text;
    list.append(one);
  };
  option("", "all");
  for (const [code, text] of options) option(code, null, text);
  if (none) option(0, "without");
  option("some", null, "…");
  list.lastChild.hidden = true;
  list.addEventListener("change", () => {
    const chosen = data.chosen[field];
    chosen.clear();
    if (list.value !== "") chosen.add(Number(list.value));
    refilter();
    changed();
  });
  label.append(word, list);
  return label;
}

function clearing(changed) {
  const clear = document.createElement("button");
  clear.className = "button";
  clear.append(both("clear"));
  clear.addEventListener("click", () => {
    for (const chosen of Object.values(data.chosen)) chosen.clear();
    for (const scale of Object.values(data.scales)) scale.from = 0;
    refilter();
    changed();
  });
  return clear;
}
