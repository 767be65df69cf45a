// Keys: one letter each, where nothing is being written.

export function listenToKeys(actions) {
  document.addEventListener("keydown", (event) => {
    const written = event.target.closest?.("input:not([type=range], [type=radio]), textarea, select");
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (written) {
      if (event.key === "Escape") written.blur();
      return;
    }
    if (event.key === "Enter" && event.target.closest?.("button, a, summary")) return;
    const action = actions[event.key.toLowerCase()];
    if (!action) return;
    event.preventDefault();
    action();
  });
}
