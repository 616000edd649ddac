// A job's images: chunks are loaded when they come near the window and emptied when they are far from it, so that ten
// thousand cost as much as sixty. What is selected is a set of places, loaded or not: the server finds the images there.
import { Places } from "./places.js";

const root = document.documentElement.dataset.root || "";
const grid = document.getElementById("grid");

const NEAR = "900px 0px", FAR = "6000px 0px";
const MOST_BESIDE = 24;
const selected = new Places();
const known = new Map();  // where a chunk starts → place and id of its images, once they were seen
let anchor = null, told = "";

const chunks = () => [...grid.querySelectorAll(".chunk")];
const cells = () => [...grid.querySelectorAll(".cell")];
const filled = (chunk) => chunk.firstElementChild !== null;
const place = (cell) => Number(cell.dataset.position);
const spanned = (chunk) => [Number(chunk.dataset.start), Number(chunk.dataset.stop) - 1];
const whole = () => [spanned(chunks()[0])[0], spanned(chunks().at(-1))[1]];
const address = (chunk) => `${root}/jobs/${grid.dataset.job}/tiles?start=${chunk.dataset.start}&stop=${chunk.dataset.stop}&${grid.dataset.query}`;

// How high an empty chunk has to be, by what a full one is.
function reserve() {
  const model = chunks().find(filled);
  if (!model) return;
  const across = getComputedStyle(model).gridTemplateColumns.split(" ").length;
  const row = model.firstElementChild.getBoundingClientRect().height, gap = parseFloat(getComputedStyle(model).rowGap) || 0;
  chunks().filter((chunk) => !filled(chunk)).forEach((chunk) => {
    const rows = Math.ceil(chunk.dataset.count / across);
    chunk.style.minHeight = `${rows * row + (rows - 1) * gap}px`;
  });
}

function see(chunk) {
  known.set(chunk.dataset.start, [...chunk.querySelectorAll(".cell")].map((cell) => [place(cell), cell.dataset.id]));
}

async function load(chunk) {
  if (filled(chunk) || chunk.dataset.loading) return;
  chunk.dataset.loading = "yes";
  try {
    const answer = await fetch(address(chunk));
    if (!answer.ok) throw new Error(String(answer.status));
    chunk.innerHTML = await answer.text();
    chunk.style.minHeight = "";
    see(chunk);
    mark();
  } catch {
    setTimeout(() => load(chunk), 3000);
  } finally {
    delete chunk.dataset.loading;
  }
}

function empty(chunk) {
  if (!filled(chunk) || chunk.contains(document.activeElement)) return;
  chunk.style.minHeight = `${chunk.getBoundingClientRect().height}px`;
  chunk.replaceChildren();
}

// Of a chunk that is selected in part one end was clicked, so that it was seen.
function count() {
  return chunks().reduce((sum, chunk) => sum + (selected.covers(...spanned(chunk))
    ? Number(chunk.dataset.count) : (known.get(chunk.dataset.start) ?? []).filter(([at]) => selected.has(at)).length), 0);
}

function mark() {
  cells().forEach((cell) => {
    const on = selected.has(place(cell));
    cell.classList.toggle("on", on);
    cell.querySelector(".pick input").checked = on;
  });
  const bar = document.getElementById("selected"), chosen = count();
  const places = selected.covers(...whole()) ? "" : String(selected);  // all is what the filter says
  bar.hidden = chosen === 0;
  document.getElementById("selected-count").textContent = `${chosen.toLocaleString()} selected`;
  document.getElementById("positions").value = places;
  const ids = chosen > MOST_BESIDE ? [] : [...known.values()].flat().filter(([at]) => selected.has(at)).map(([, id]) => id);
  const beside = document.getElementById("beside"), download = document.getElementById("download");
  beside.hidden = ids.length < 2 || ids.length !== chosen;
  beside.href = `${root}/compare?ids=${ids.join(",")}`;
  download.href = `${root}/v1/jobs/${grid.dataset.job}/results.zip?${grid.dataset.query}${places && `&positions=${places}`}`;
  const many = selected.parts > Number(grid.dataset.most);
  bar.querySelectorAll("fieldset").forEach((moves) => { moves.disabled = many; });
  download.hidden = many;
  if (chosen && !many && told !== `${chosen}:${places}`) bar.dispatchEvent(new Event("chosen"));
  told = `${chosen}:${places}`;
}

function set(from, to, on = true) {
  if (on) selected.add(from, to); else selected.remove(from, to);
}

function toggle(cell, far) {
  const at = place(cell);
  if (far) {
    const from = anchor ?? at;
    set(Math.min(from, at), Math.max(from, at));
  } else {
    set(at, at, !selected.has(at));
    anchor = at;
  }
  mark();
}

function everything(on) {
  selected.clear();
  if (on) set(...whole());
  anchor = null;
  mark();
}

grid?.addEventListener("click", (event) => {
  const cell = event.target.closest(".cell");
  if (!cell || !event.target.closest(".pick")) return;
  if (event.target.tagName !== "INPUT") return;  // the label clicks its box
  toggle(cell, event.shiftKey);
});

grid?.addEventListener("keydown", (event) => {
  const cell = event.target.closest(".cell");
  if (!cell) return;
  const across = getComputedStyle(cell.parentElement).gridTemplateColumns.split(" ").length;
  const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: across, ArrowUp: -across }[event.key];
  if (step) {
    const list = cells(), next = list[list.indexOf(cell) + step];
    event.preventDefault();
    if (!next) return;
    if (event.shiftKey) { anchor ??= place(cell); toggle(next, true); }
    next.querySelector(".tile").focus();
  } else if (event.key === " ") {
    event.preventDefault();
    toggle(cell, event.shiftKey);
  } else if (event.key.toLowerCase() === "a" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    everything(true);
  } else if (event.key === "Escape") everything(false);
});

document.querySelectorAll("[data-select]").forEach((button) => {
  button.hidden = false;
  button.addEventListener("click", () => everything(button.dataset.select === "all"));
});
if (grid) {
  reserve();
  chunks().filter(filled).forEach(see);
  const near = new IntersectionObserver((seen) => seen.forEach((each) => each.isIntersecting && load(each.target)), { rootMargin: NEAR });
  const far = new IntersectionObserver((seen) => seen.forEach((each) => each.isIntersecting || empty(each.target)), { rootMargin: FAR });
  chunks().forEach((chunk) => { near.observe(chunk); far.observe(chunk); });
  let resized;
  addEventListener("resize", () => { clearTimeout(resized); resized = setTimeout(reserve, 200); });
  mark();
}
