// The picture beside the pointer on the map.

import { complain } from "./api.js";
import { sample } from "./data.js";
import { both, shown } from "./words.js";

const $ = (id) => document.getElementById(id);
let wanted = -1;

// Show a sample at a place of the plot, or none where it is -1; `note(position)` gives [en, ja] or null.
export function showHover(point, x, y, note) {
  wanted = point;
  const box = $("hover");
  if (point < 0) return void (box.hidden = true);
  sample(point).then((one) => {
    if (wanted !== point) return;
    const [picture, text] = box.children, [label, id, told] = text.children;
    picture.src = one.picture;
    label.replaceChildren(one.label === null ? both("without") : [one.label, one.mode !== one.label && one.mode].filter(Boolean).join(" · "));
    id.textContent = one.id;
    const noted = note(point);
    told.replaceChildren(...(noted ? [shown(noted)] : []));
    box.hidden = false;
    const { clientWidth: width, clientHeight: height } = $("plot");
    box.style.left = `${x > width / 2 ? x - box.offsetWidth - 16 : x + 16}px`;
    box.style.top = `${Math.min(Math.max(8, y - box.offsetHeight / 2), height - box.offsetHeight - 8)}px`;
  }, complain);
}
