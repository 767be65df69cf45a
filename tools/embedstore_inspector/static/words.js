// Words in both languages. The page holds both, and its style shows one, as in every file of embedstore.

const words = JSON.parse(document.getElementById("words").textContent);
export const LANGUAGES = ["en", "ja"];

const radio = (language) => document.getElementById(`language-${language}`);

export const language = () => (radio("ja").checked ? "ja" : "en");

export function number(value, digits = 0) {
  return value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits }).replace("-", "−");
}

// A text of one language; a value may be a pair [English, Japanese] itself.
function filled(name, values, at) {
  return words[name][at].replace(/\{(\w+)\}/g, (_, key) => {
    const value = values[key];
    return Array.isArray(value) ? value[at] : typeof value === "number" ? number(value) : String(value);
  });
}

export const pair = (name, values = {}) => LANGUAGES.map((_, at) => filled(name, values, at));

// The pair of a name, or a text as it stands where there is no word for it.
export const pairOr = (name, text) => (name in words ? pair(name) : [text, text]);

// Of a pair, the text in the language that is shown.
export const spoken = (texts) => texts[LANGUAGES.indexOf(language())];

export const say = (name, values = {}) => spoken(pair(name, values));

// Nodes that hold a pair; text only, so that names can't become markup.
export function shown([en, ja]) {
  const both = document.createDocumentFragment();
  for (const [text, lang] of en === ja ? [[en, null]] : [[en, "en"], [ja, "ja"]]) {
    const span = document.createElement("span");
    span.textContent = text;
    if (lang) span.lang = lang;
    both.append(span);
  }
  return both;
}

export const both = (name, values = {}) => shown(pair(name, values));

// What stands in attributes and in options can be in one language only.
function tell() {
  document.documentElement.lang = language();
  for (const one of document.querySelectorAll("[data-label]")) {
    one.setAttribute("aria-label", say(one.dataset.label));
    if (one.tagName === "BUTTON") one.title = say(one.dataset.label);
  }
  for (const one of document.querySelectorAll("[data-placeholder]")) one.placeholder = say(one.dataset.placeholder);
  for (const one of document.querySelectorAll("option[data-words]")) one.textContent = say(one.dataset.words);
}

export function choose(wanted) {
  radio(wanted).checked = true;
  try {
    localStorage.setItem("embedstore-language", wanted);
  } catch {
    // a browser that keeps nothing starts in its own language
  }
  tell();
  document.dispatchEvent(new Event("language"));
}

export const relabel = tell;

export function start() {
  let kept = null;
  try {
    kept = localStorage.getItem("embedstore-language");
  } catch {
    // see `choose`
  }
  const wanted = [kept, ...navigator.languages].map((one) => (one ?? "").slice(0, 2)).find((one) => LANGUAGES.includes(one));
  radio(wanted ?? "en").checked = true;
  tell();
  for (const one of LANGUAGES) radio(one).addEventListener("change", () => choose(one));
}
