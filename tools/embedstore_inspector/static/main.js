// The page: what is read first, which view is shown, and what the parts tell each other.

import * as api from "./api.js";
import { palette } from "./colours.js";
import { byOddness, codes, data, known, load, oddness, refilter, sample } from "./data.js";
import { listenToDecisions } from "./deciding.js";
import { Gallery } from "./gallery.js";
import { listenToHistory } from "./history.js";
import { showHover } from "./hover.js";
import { listenToKeys } from "./keys.js";
import { colouring, colourings, drawFilters, drawLegend } from "./legend.js";
import { PointMap } from "./map.js";
import { listenToSearch } from "./search.js";
import { drawCard, drawPrototypes, markCard } from "./sheets.js";
import { Suggestions } from "./suggestions.js";
import { toldOf, watch } from "./time.js";
import * as tray from "./tray.js";
import * as words from "./words.js";

const $ = (id) => document.getElementById(id);
const FIELDS = ["label", "mode", "split", "verdict"], VIEWS = ["map", "sample", "prototypes", "suggestions"];
const SCROLLERS = { map: "overlay", sample: "card", prototypes: "prototypes", suggestions: "suggestions" }; // or what arrows pan

// `seen`: the version of which the card on the screen tells; a decision is on what was seen.
const desk = { by: "label", view: "map", current: -1, wanted: null, id: null, seen: null, list: null, map: null, gallery: null, decisions: null, suggestions: null, renewing: false };

// Views, by the address: #map, #sample=ID, #prototypes, #suggestions

async function route() {
  const [view, id] = location.hash.slice(1).split("=");
  desk.view = VIEWS.includes(view) ? view : "map";
  document.body.dataset.view = desk.view;
  for (const tab of document.querySelectorAll("[data-tab]")) {
    if (tab.dataset.tab === desk.view) tab.setAttribute("aria-current", "page");
    else tab.removeAttribute("aria-current");
  }
  if (desk.view === "map") desk.map.resize();
  if (desk.view === "sample" && id !== undefined) await showSample(api.decoded(id));
  if (desk.view === "prototypes") await drawPrototypes();
  if (desk.view === "suggestions") await desk.suggestions.show();
  desk.decisions.drawTarget();
}

// By a key: the focus goes along, so that arrows move what is seen.
function goTo(view) {
  const { hash } = document.querySelector(`[data-tab="${view}"]`), focus = () => $(SCROLLERS[view]).focus({ preventScroll: true });
  if (location.hash === hash) return void focus();
  addEventListener("hashchange", focus, { once: true }); // after the one that shows the view
  location.hash = hash;
}

async function showSample(id) {
  desk.wanted = id; // until it is there, nothing is decided on the one before
  const found = await drawCard(id, desk.id);
  if (found?.seen !== data.store.version) return; // of a version that the page has left, whose positions mean others
  Object.assign(desk, found);
  document.querySelector('[data-tab="sample"]').hash = `sample=${encodeURIComponent(id)}`;
  markCard(desk.id);
  chosen();
}

function chosen() {
  desk.map.current = desk.current;
  desk.map.drawOverlay();
  const at = desk.gallery.choose(desk.current), { positions } = desk.gallery;
  $("place").replaceChildren(...(at < 0 ? [] : [words.both("place", { place: at + 1, count: positions.length })]));
  $("previous").disabled = !(at > 0);
  $("next").disabled = !(positions.length && at < positions.length - 1);
  desk.decisions.drawTarget();
}

// What a verdict is on: the pictures that are chosen in the gallery, those of a selection, or the one that is looked at.
function target() {
  const chosen = [...desk.gallery.chosen], { list, view, suggestions } = desk;
  const several = (positions, more) => ({ positions, since: null, id: null, ...more });
  // Both stay where the page goes on to a newer version: what they are decided on is what was seen when they were made.
  if (chosen.length) {
    return several(chosen, { since: desk.gallery.since, chosen: true, id: chosen.length > 1 ? null : (known(chosen[0])?.id ?? null) });
  }
  if (view === "map" && list.kind === "selection") return several(desk.gallery.positions, { since: list.since, chosen: false });
  if (view === "sample" && desk.current >= 0 && desk.wanted === desk.id) return { positions: [desk.current], since: desk.seen, id: desk.id, chosen: false };
  if (view === "suggestions" && suggestions.seen && suggestions.version === data.store.version) {
    const [position] = suggestions.seen.at;
    return { positions: [position], since: suggestions.version, id: known(position)?.id ?? null, chosen: false };
  }
  return several([], { chosen: false });
}

function decided(ids) {
  desk.gallery.chooseNone();
  if (desk.view === "suggestions") desk.suggestions.answer(ids);
}

async function open(position) {
  try {
    const { id } = await sample(position);
    location.hash = `sample=${encodeURIComponent(id)}`;
  } catch (error) {
    api.complain(error);
  }
}

function step(by) {
  if (desk.view === "suggestions") return void desk.suggestions.step(by);
  const { positions } = desk.gallery, at = positions.indexOf(desk.current);
  const to = at < 0 ? 0 : Math.min(positions.length - 1, Math.max(0, at + by));
  if (positions.length && to !== at) open(positions[to]);
}

// The list in the gallery: the oddest, a selection, what was found

function showList(list) {
  desk.list = list;
  relist();
  repaint();
}

const oddest = () => ({ kind: "oddest", title: words.pair("oddest") });

// `stay`: the reader looks at the same list, of another version.
function relist(stay = false) {
  const { list } = desk;
  let all = list.positions, caption = list.caption ?? distanceOf;
  if (list.kind === "oddest") {
    const alike = new Map((data.comparison?.odd ?? []).flatMap(({ listed }) => listed));
    all = data.comparison ? byOddness(alike.keys()) : Array.from({ length: Math.min(data.store.count, 500) }, (_, at) => at);
    caption = (position) => {
      const more = alike.get(position);
      return distanceOf(position)?.map((text, at) => (more ? `${text} · ${words.pair("more_alike", { count: more })[at]}` : text));
    };
  }
  const positions = all.filter((position) => data.shown[position]);
  desk.gallery.fill(positions, caption, stay);
  $("list-title").replaceChildren(words.shown(list.title));
  const passing = positions.length === all.length ? [positions.length === 1 ? "picture" : "pictures", { count: positions.length }] : ["of_filter", { shown: positions.length, count: all.length }];
  $("list-note").replaceChildren(words.both(...(positions.length ? passing : ["nothing"])));
  $("list-back").hidden = list.kind === "oddest";
  chosen();
}

function distanceOf(position) {
  const distance = data.distance?.[position];
  return distance === undefined || !Number.isFinite(distance) ? null : words.pair("distance_is", { value: words.number(distance, 2) });
}

// The map

function repaint() {
  const colours = palette(), { list } = desk;
  let lit = null;
  if (list.kind !== "oddest") {
    lit = new Uint8Array(data.store.count);
    for (const position of list.positions) lit[position] = 1;
  }
  desk.map.paint({ ...colouring(desk.by, colours), shown: data.shown, lit, palette: colours });
  drawLegend($("legend"), desk.by, changed);
  drawFilters($("filters"), changed);
  const shown = data.shown.reduce((sum, one) => sum + one, 0);
  $("map-note").replaceChildren(shown === data.store.count ? words.both("map_hint") : words.both("points_shown", { shown, count: data.store.count }));
}

function changed() {
  relist();
  repaint();
}

async function colourBy(name) {
  desk.by = name;
  if (FIELDS.includes(name)) await codes(name);
  offerColours();
  repaint();
}

function offerColours() {
  offer($("colour"), colourings(), (name) => name);
  $("colour").value = desk.by;
}

// Fill a list only where there is something else to choose: it may be open. `word(name)` names the words for a choice, if any.
function offer(list, names, word) {
  if ([...list.options].map(({ value }) => value).join() === names.join()) return;
  const options = names.map((name) => Object.assign(document.createElement("option"), { value: name, textContent: name.toUpperCase() }));
  for (const option of options) if (word(option.value)) option.dataset.words = word(option.value);
  list.replaceChildren(...options);
  words.relabel();
}

function nextColour() {
  const names = colourings();
  colourBy(names[(names.indexOf(desk.by) + 1) % names.length]).catch(api.complain);
}

function selected(positions) {
  if (!positions.length) return showList(oddest());
  showList({ kind: "selection", title: words.pair("selection"), positions: byOddness(positions), since: data.store.version });
}

function setLasso(on) {
  desk.map.setLasso(on);
  $("lasso").setAttribute("aria-pressed", on);
}

// Versions

async function compare(stay = false) {
  try {
    if (!(await toldOf(oddness))) return;
  } catch (error) {
    return void api.complain(error);
  }
  offerColours();
  if (desk.list.kind === "oddest") relist(stay);
  repaint();
  for (const name of FIELDS) await codes(name);
}

let refreshing = null;

// Show the store's newest version; what a reader looks at stays. Two at once are one after the other, but none waits for what is
// computed of the one before. `made`: the version that was made by this page.
async function refresh(made = null) {
  refreshing = (refreshing ?? Promise.resolve()).catch(() => null).then(() => renew(made));
  const same = await refreshing, { version } = data.store;
  await Promise.all([route(), compare(same)]);
  if (version === data.store.version) document.body.dataset.shown = version;
}

async function renew(made) {
  desk.renewing = true;
  const { key, version } = data.store, same = await load().finally(() => (desk.renewing = false));
  document.querySelector('[data-name="old"]')?.remove();
  if (!same) {
    Object.assign(desk, { current: -1, id: null, list: oddest() });
    desk.gallery.fill([]);
  } else if (made === version + 1 && made === data.store.version) {
    // Nobody else has changed anything, so what was seen still is what there is.
    for (const one of [desk.list, desk.gallery]) if (one.since === version) one.since = made;
  }
  if (key !== data.store.key) {
    tray.reload(); // another store is at this address now
    await new Promise(() => {});
  }
  if (!same) {
    offerMaps(data.store.maps);
    await showMap();
  } else offerMaps(data.store.maps);
  await Promise.all(FIELDS.map(codes));
  refilter();
  if (!colourings().includes(desk.by)) desk.by = colourings()[0];
  tellAbout();
  offerColours();
  relist(same);
  repaint();
  return same;
}

function tellAbout() {
  $("about").replaceChildren(words.both("about", { count: data.store.count, version: data.store.version }));
}

async function start() {
  // A token that came with the address is in a cookie by now, and should be in nobody's history or screenshot.
  if (location.search) history.replaceState(null, "", location.pathname + location.hash);
  words.start();
  await load();
  watch(() => (desk.renewing ? null : data.store.version), (maps) => desk.map && offerMaps(maps));
  const { store } = data;
  tellAbout();
  desk.gallery = new Gallery($("gallery"), $("cells"), { opened: openListed, chose: () => desk.decisions.drawTarget() });
  desk.map = new PointMap($("plot"), { hovered: (point, x, y) => showHover(point, x, y, distanceOf), opened: open, selected });
  desk.list = oddest();
  desk.by = colourings()[0];
  const log = listenToHistory({ refresh });
  desk.decisions = listenToDecisions({ target, refresh, undo: log.undo, decided, chooseNone: () => desk.gallery.chooseNone() });
  desk.suggestions = new Suggestions($("suggestions"), { say: desk.decisions.say, listed: listSuggested, moved: () => desk.decisions.drawTarget() });
  const [places] = await Promise.all([api.bytes("/api/places", { method: store.maps[0] }), codes(desk.by)]);
  desk.map.load(new Uint16Array(places));
  offerColours();
  offerMaps(store.maps);
  repaint();
  relist();
  addEventListener("hashchange", () => route().catch(api.complain));
  listen(log);
  api.onOld(() => refresh().catch(api.complain)); // until here, the page is loaded again instead
  await Promise.all([route(), compare()]);
  performance.mark("all-known");
}

// Offer the maps that there are; where the one on the screen is gone, the first is shown.
function offerMaps(names) {
  const list = $("method"), before = list.value;
  offer(list, names, (name) => (name === "pca" ? name : null));
  $("method-chooser").hidden = names.length < 2;
  if (names.includes(before)) list.value = before;
  else if (before) showMap().catch(api.complain);
}

async function showMap() {
  desk.map.load(new Uint16Array(await api.bytes("/api/places", { method: $("method").value })));
}

function back() {
  if (desk.decisions.closeTray()) return;
  if (desk.gallery.chosen.size) return void desk.gallery.chooseNone();
  if (desk.view !== "map") location.hash = "map";
  else if (desk.list.kind !== "oddest") showList(oddest());
}

function openListed(position) {
  if (desk.view === "suggestions") desk.suggestions.goTo(position);
  else open(position);
}

function listSuggested(kind, positions) {
  showList({ kind: "suggested", title: words.pairOr(`kind_${kind}`, kind), positions });
}

function listen(log) {
  const like = () => desk.current >= 0 && search.like(desk.current);
  const search = listenToSearch({ showList });
  $("colour").addEventListener("change", () => colourBy($("colour").value).catch(api.complain));
  $("method").addEventListener("change", () => showMap().catch(api.complain));
  $("lasso").addEventListener("click", () => setLasso(!desk.map.lassoing));
  $("select-view").addEventListener("click", () => selected(desk.map.inView()));
  $("zoom-in").addEventListener("click", () => desk.map.zoom(1.5));
  $("zoom-out").addEventListener("click", () => desk.map.zoom(1 / 1.5));
  $("whole").addEventListener("click", () => desk.map.whole());
  $("previous").addEventListener("click", () => step(-1));
  $("next").addEventListener("click", () => step(1));
  $("show-like").addEventListener("click", like);
  $("show-on-map").addEventListener("click", () => {
    location.hash = "map";
    requestAnimationFrame(() => desk.map.show(desk.current));
  });
  $("list-back").addEventListener("click", () => showList(oddest()));
  $("prototypes").addEventListener("click", (event) => {
    const one = event.target.closest("[data-prototype]");
    if (one) showMembers(Number(one.dataset.prototype), one.dataset.name);
  });
  // A picture that can't be had leaves a frame, as in the files.
  document.addEventListener("error", (event) => {
    const picture = event.target;
    if (picture.tagName !== "IMG" || picture.closest("#hover")) return;
    const frame = document.createElement("span");
    frame.className = "no-picture";
    frame.append(words.both("no_picture"));
    picture.replaceWith(frame);
  }, true);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
  document.addEventListener("language", () => (repaint(), relist(true)));
  document.addEventListener("tray", () => (desk.gallery.badges(), markCard(desk.id)));
  listenToKeys({
    j: () => step(1),
    k: () => step(-1),
    enter: () => desk.current >= 0 && open(desk.current),
    ...Object.fromEntries(VIEWS.map((view, at) => [at + 1, () => goTo(view)])),
    r: () => desk.decisions.decide("rare"),
    w: () => desk.decisions.decide("wrong-label"),
    d: () => desk.decisions.decide("dirt"),
    t: () => desk.decisions.decide("twin"),
    u: () => desk.decisions.takeLastBack(),
    b: () => desk.decisions.toggleTray(),
    h: () => log.show(),
    x: choosePicture,
    y: () => desk.view === "suggestions" && desk.suggestions.agree(),
    o: () => desk.view === "suggestions" && desk.suggestions.confirm(),
    n: () => desk.view === "suggestions" && desk.suggestions.skip(),
    "/": () => $("search-words").focus(),
    c: nextColour,
    l: () => setLasso(!desk.map.lassoing),
    v: () => selected(desk.map.inView()),
    "+": () => desk.map.zoom(1.5),
    "=": () => desk.map.zoom(1.5),
    "-": () => desk.map.zoom(1 / 1.5),
    0: () => desk.map.whole(),
    s: like,
    e: () => words.choose(words.language() === "en" ? "ja" : "en"),
    escape: back,
    "?": () => $("keys").showModal(),
  });
  $("keys-button").addEventListener("click", () => $("keys").showModal());
}

// The picture that the focus is on in the gallery, or else the one that is looked at.
function choosePicture() {
  const focused = document.activeElement.closest?.(".cell");
  const place = focused ? Number(focused.dataset.place) : desk.gallery.positions.indexOf(desk.current);
  desk.gallery.toggle(place);
}

async function showMembers(prototype, name) {
  try {
    const { positions } = await api.json("/api/members", { prototype });
    showList({ kind: "members", title: words.pair("members", { name }), positions });
  } catch (error) {
    api.complain(error);
  }
}

start().catch(api.complain);
