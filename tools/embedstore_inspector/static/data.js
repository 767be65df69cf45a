// What the page knows of the store's version: fields, filters, oddness, and what was told of single samples.

import * as api from "./api.js";

export const data = {
  store: null, // as /api/store tells it
  fields: {}, // name -> { values, counts, codes }: 0 is none, value n has the code n + 1
  distance: null, // Float32Array, infinite where nothing can be compared; null until it is known
  scales: {}, // name -> { values, low, high, from }: what is coloured from usual to odd; only shares from `from` on pass
  nearest: null, // Int32Array of prototypes, -1 where none
  comparison: null, // as /api/comparison tells it
  chosen: {}, // field -> Set of codes that pass; empty: all do
  shown: null, // Uint8Array: which samples pass
};

let told = new Map(); // position -> what /api/samples says
let asked = new Map(); // position -> promise
let named = new Map(); // id -> the same
let batch = null;

// Take up the newest version; true where positions mean the samples that they meant before. Then what was compared stays, until
// the new comparison is there, and so does what filters chose.
export async function load() {
  const before = data.store?.rows, earlier = { ...data.fields };
  data.store = await api.store();
  [told, named, asked, batch] = [new Map(), new Map(), new Map(), null];
  const same = before === data.store.rows;
  if (!same) {
    data.shown = new Uint8Array(data.store.count).fill(1);
    Object.assign(data, { fields: {}, distance: null, scales: {}, nearest: null, comparison: null, chosen: {} });
  }
  for (const [name, { values, counts }] of Object.entries(data.store.fields)) {
    data.fields[name] = { values, counts, codes: null };
    data.chosen[name] = moved(data.chosen[name], earlier[name]?.values ?? [], values);
  }
  return same;
}

// The codes of the values that were chosen, by their codes among the earlier values; those that are gone are left out.
function moved(chosen = new Set(), before, values) {
  const codes = [...chosen].map((code) => (code ? values.indexOf(before[code - 1]) + 1 : 0));
  return new Set(codes.filter((code, at) => code || [...chosen][at] === 0));
}

export async function codes(name) {
  const field = data.fields[name];
  field.codes ??= new Uint32Array(await api.bytes("/api/codes", { field: name }));
  return field.codes;
}

// Compare; true unless the page shows another version by then.
export async function oddness() {
  const { store } = data, { count, student } = store;
  const asked = [api.bytes("/api/oddness"), api.json("/api/comparison"), student ? api.bytes("/api/student") : null];
  const [bytes, comparison, errors] = await Promise.all(asked);
  if (data.store !== store) return false;
  data.distance = new Float32Array(bytes, 0, count);
  data.nearest = new Int32Array(bytes, 8 * count, count);
  data.comparison = comparison;
  const counts = new Array(comparison.prototypes.length + 1).fill(0);
  for (const one of data.nearest) counts[one + 1]++;
  const names = data.fields.prototype?.values ?? [], from = (name) => data.scales[name]?.from ?? 0;
  data.fields.prototype = { values: comparison.prototypes, counts, codes: Uint32Array.from(data.nearest, (one) => one + 1) };
  data.chosen.prototype = moved(data.chosen.prototype, names, comparison.prototypes);
  const [low, high] = middle(data.distance);
  data.scales.distance = { values: data.distance, low, high, from: from("distance") };
  data.scales.percentile = { values: new Float32Array(bytes, 4 * count, count), low: 0, high: 100, from: from("percentile") };
  if (student) data.scales.error = { values: new Float32Array(errors), low: 0, high: 1, from: from("error") };
  return true;
}

// From the 2nd to the 99.8th percentile, so that one stray sample does not hide the others.
function middle(values) {
  const finite = values.filter(Number.isFinite).sort();
  if (!finite.length) return [0, 1];
  const at = (share) => finite[Math.min(finite.length - 1, Math.floor(share * finite.length))];
  return [at(0.02), Math.max(at(0.998), at(0.02) + 1e-6)];
}

// Where a sample lies on a scale, 0 to 1; NaN where that is not known. Infinitely far is odd.
export function share(name, at) {
  const { values, low, high } = data.scales[name];
  return Math.min(1, Math.max(0, (values[at] - low) / (high - low)));
}

export function refilter() {
  const { shown, store } = data;
  shown.fill(1);
  for (const [name, chosen] of Object.entries(data.chosen)) {
    const values = data.fields[name].codes;
    if (!chosen.size || !values) continue;
    for (let at = 0; at < store.count; at++) if (!chosen.has(values[at])) shown[at] = 0;
  }
  for (const [name, { from }] of Object.entries(data.scales)) {
    if (from > 0) for (let at = 0; at < store.count; at++) if (!(share(name, at) >= from)) shown[at] = 0;
  }
}

export function byOddness(positions) {
  const { distance } = data;
  return distance ? Array.from(positions).sort((a, b) => distance[b] - distance[a] || a - b) : Array.from(positions);
}

// What is known of a sample; those asked for in one moment are fetched together.
export function sample(position) {
  if (told.has(position)) return Promise.resolve(told.get(position));
  if (!asked.has(position)) {
    batch ??= collect();
    batch.wanted.push(position);
    asked.set(position, batch.answer.then((found) => found.get(position)));
  }
  return asked.get(position);
}

export const known = (position) => told.get(position);

// A sample by its id, which another version may lack.
export async function sampleOf(id) {
  if (named.has(id)) return named.get(id);
  const [kept, names] = [told, named]; // of this version
  const one = await api.json("/api/sample", { id });
  kept.set(one.at, one);
  names.set(one.id, one);
  return one;
}

function collect() {
  // All of this version: another one, which the page may show when this is asked, may have other samples at these positions.
  const wanted = [], [kept, names, waiting] = [told, named, asked], { version: v, key } = data.store;
  const answer = new Promise((resolve) => setTimeout(resolve, 8)).then(async () => {
    if (asked === waiting) batch = null;
    try {
      const parts = [];
      for (let at = 0; at < wanted.length; at += 200) parts.push(wanted.slice(at, at + 200));
      for (const part of parts) {
        const { samples } = await api.json("/api/samples", { at: part.join(","), v, key });
        for (const one of samples) {
          kept.set(one.at, one);
          names.set(one.id, one);
        }
      }
    } finally {
      for (const one of wanted) waiting.delete(one);
    }
    return kept;
  });
  return { wanted, answer };
}
