// Colours of the map, out of the style sheet: ten for kinds, a ramp from usual to odd, a quiet one for what is neither.

const KINDS = 10;

const property = (name) => getComputedStyle(document.body).getPropertyValue(name).trim();

function rgb(colour) {
  const hex = colour.replace("#", "");
  return [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16));
}

export const mixed = (a, b, share) => a.map((value, at) => Math.round(value + (b[at] - value) * share));
export const css = ([r, g, b]) => `rgb(${r} ${g} ${b})`;

export function palette() {
  const low = rgb(property("--ramp-low")), middle = rgb(property("--ramp-middle")), high = rgb(property("--ramp-high"));
  return {
    paper: rgb(property("--paper")),
    ink: rgb(property("--ink")),
    quiet: rgb(property("--point-quiet")),
    accent: property("--accent"),
    kinds: Array.from({ length: KINDS }, (_, at) => rgb(property(`--kind-${at + 1}`))),
    ramp: (share) => (share < 0.5 ? mixed(low, middle, share * 2) : mixed(middle, high, share * 2 - 1)),
  };
}
