
// Starts in the language of the address (#ja, #en) or of the browser, and tells the document which one is shown.
const chosen = () => document.querySelector('input[name="language"]:checked');
const tell = () => {
  document.documentElement.lang = chosen().value;
  document.title = document.documentElement.getAttribute("data-title-" + chosen().value);
};
const start = [location.hash.slice(1), ...navigator.languages]
  .map((wanted) => document.getElementById("language-" + wanted.slice(0, 2)))
  .find((radio) => radio !== null);
if (start) start.checked = true;
document.addEventListener("change", tell);
tell();
