// Two pictures under a slider: the range moves the edge, the lists say which two. Works for what is loaded later, too.
// Once somebody has touched it, its pictures and edge stay as they are while the grid around it is loaded again.
const all = (selector) => [...document.querySelectorAll(selector)];

document.addEventListener("input", (event) => {
  const slider = event.target.closest("[data-slider]");
  if (!slider) return;
  const two = slider.querySelector(".two");
  two.dataset.touched = "yes";
  if (event.target.type === "range") two.style.setProperty("--at", `${event.target.value}%`);
  const side = event.target.dataset.side;
  if (!side) return;
  const image = two.querySelector(`[data-image="${side}"]`);
  image.src = event.target.value;
  image.alt = event.target.selectedOptions[0].textContent;
});

// What htmx preserves it knows by its id; new lists say what the pictures show.
document.addEventListener("htmx:beforeSwap", () => all(".two:not([data-touched])").forEach((two) => two.removeAttribute("id")));
document.addEventListener("htmx:afterSwap", () => all("[data-slider] [data-side]").forEach((list) => {
  list.value = list.closest("[data-slider]").querySelector(`[data-image="${list.dataset.side}"]`).getAttribute("src");
}));
