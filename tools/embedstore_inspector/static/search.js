// Search: by words of a name or field, by a picture that is dropped or chosen, by words that the teacher reads, by a sample.

import * as api from "./api.js";
import { data, sample } from "./data.js";
import { number, pair } from "./words.js";

const $ = (id) => document.getElementById(id);

export function listenToSearch({ showList }) {
  const run = async (work, waiting = "searching") => {
    const wait = api.notice(pair(waiting), { name: "searching", stays: true });
    try {
      await work();
    } catch (error) {
      api.complain(error);
    } finally {
      wait.remove();
    }
  };
  const near = (title, found) => {
    const similarity = new Map(found.hits.map(({ at, similarity: value }) => [at, value]));
    showList({
      kind: "found",
      title,
      positions: [...similarity.keys()],
      caption: (position) => pair("similarity", { value: number(similarity.get(position), 3) }),
    });
  };
  const byWords = () => run(async () => {
    const text = $("search-words").value.trim();
    if (text) showList({ kind: "found", title: pair("found", { text }), positions: (await api.json("/api/find", { text })).positions });
  });
  const byText = () => run(async () => {
    const text = $("search-words").value.trim();
    if (text) near(pair("like_text", { text }), await api.post("/api/search/text", text));
  }, "teacher_loads");
  const byPicture = (file) => run(async () => near(pair("like_picture", { name: file.name }), await api.post("/api/search/picture", file)), "teacher_loads");
  const like = (position) => run(async () => {
    const { id } = await sample(position);
    near(pair("like_picture", { name: id }), await api.json("/api/like", { id }));
  });

  $("search").addEventListener("submit", (event) => (event.preventDefault(), byWords()));
  $("search-text").hidden = !data.store.reads_text;
  $("search-text").addEventListener("click", byText);
  $("search-picture").hidden = !data.store.embeds;
  $("search-picture").addEventListener("click", () => $("picture-file").click());
  $("picture-file").addEventListener("change", () => {
    const [file] = $("picture-file").files;
    if (file) byPicture(file);
    $("picture-file").value = "";
  });
  if (data.store.embeds) listenToDrops(byPicture);
  return { like };
}

function listenToDrops(byPicture) {
  const drop = $("drop"), files = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  document.addEventListener("dragover", (event) => {
    if (!files(event)) return;
    event.preventDefault();
    drop.hidden = false;
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) drop.hidden = true;
  });
  document.addEventListener("drop", (event) => {
    if (!files(event)) return;
    event.preventDefault();
    drop.hidden = true;
    const [file] = event.dataTransfer.files;
    if (file) byPicture(file);
  });
  document.addEventListener("paste", (event) => {
    const [file] = event.clipboardData?.files ?? [];
    if (file) byPicture(file);
  });
}
