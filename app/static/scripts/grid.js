// A job's images: chunks are loaded when they come near the window and emptied when they are far from it, so that ten
// thousand cost as much as sixty. What is selected is remembered by id, loaded or not.
const root = document.documentElement.dataset.root || "";
const grid = document.getElementById("grid");

const MOST_IN_ADDRESS = 300;  // ids: an address has 32 kB at most, with its headers
const NEAR = "900px 0px", FAR = "6000px 0px";
const selected = new Set();  // of ids
let all = false, anchor = null;

const chunks = () => [...grid.querySelectorAll(".chunk")];
const cells = () => [...grid.querySelectorAll(".cell")];
const filled = (chunk) => chunk.firstElementChild !== null;
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

async function load(chunk) {
  if (filled(chunk) || chunk.dataset.loading) return;
  chunk.dataset.loading = "yes";
  try {
    const answer = await fetch(address(chunk));
    if (!answer.ok) throw new Error(String(answer.status));
    chunk.innerHTML = await answer.text();
    chunk.style.minHeight = "";
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

function mark() {
  cells().forEach((cell) => {
    const on = all || selected.has(cell.dataset.id);
    cell.classList.toggle("on", on);
    cell.querySelector(".pick input").checked = on;
  });
  const count = all ? Number(grid.dataset.shown) : selected.size, bar = document.getElementById("selected");
  bar.hidden = count === 0;
  document.getElementById("selected-count").textContent = `${count.toLocaleString()} selected`;
  const ids = [...selected];
  document.getElementById("ids").value = all ? "" : ids.join(",");
  bar.querySelectorAll("[data-filter]").forEach((field) => { field.disabled = !all; });
  const beside = document.getElementById("beside");
  beside.hidden = all || ids.length < 2 || ids.length > 24;
  beside.href = `${root}/compare?ids=${ids.join(",")}`;
  const download = document.getElementById("download");
  download.hidden = !all && ids.length > MOST_IN_ADDRESS;
  download.href = `${root}/v1/jobs/${grid.dataset.job}/results.zip?${all ? grid.dataset.query : `ids=${ids.join(",")}`}`;
  bar.querySelectorAll("[formaction]").forEach((button) => { button.disabled = !all && ids.length > Number(grid.dataset.most); });
}

function set(cell, on) {
  if (all) { all = false; cells().forEach((each) => selected.add(each.dataset.id)); }
  if (on) selected.add(cell.dataset.id); else selected.delete(cell.dataset.id);
}

function upTo(cell) {
  const from = anchor ?? Number(cell.dataset.position), to = Number(cell.dataset.position);
  cells().filter((each) => {
    const place = Number(each.dataset.position);
    return place >= Math.min(from, to) && place <= Math.max(from, to);
  }).forEach((each) => set(each, true));
  mark();
}

function toggle(cell, far) {
  if (far) { upTo(cell); return; }
  set(cell, !(all || selected.has(cell.dataset.id)));
  anchor = Number(cell.dataset.position);
  mark();
}

function everything(on) {
  selected.clear();
  all = on;
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
    if (event.shiftKey) { anchor ??= Number(cell.dataset.position); set(cell, true); upTo(next); }
    next.querySelector(".tile").focus();
  } else if (event.key === " ") {
    event.preventDefault();
    toggle(cell, event.shiftKey);
  } else if (event.key.toLowerCase() === "a" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    everything(true);
  } else if (event.key === "Escape") everything(false);
});

document.getElementById("select-all")?.addEventListener("click", () => everything(true));
document.getElementById("select-none")?.addEventListener("click", () => everything(false));
if (grid) {
  reserve();
  const near = new IntersectionObserver((seen) => seen.forEach((each) => each.isIntersecting && load(each.target)), { rootMargin: NEAR });
  const far = new IntersectionObserver((seen) => seen.forEach((each) => each.isIntersecting || empty(each.target)), { rootMargin: FAR });
  chunks().forEach((chunk) => { near.observe(chunk); far.observe(chunk); });
  let resized;
  addEventListener("resize", () => { clearTimeout(resized); resized = setTimeout(reserve, 200); });
  mark();
}
