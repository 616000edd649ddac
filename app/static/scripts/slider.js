// Two pictures under a slider: the range moves the edge, the lists say which two. Works for what is loaded later, too.
document.addEventListener("input", (event) => {
  const slider = event.target.closest("[data-slider]");
  if (!slider) return;
  if (event.target.type === "range") slider.querySelector(".two").style.setProperty("--at", `${event.target.value}%`);
  const side = event.target.dataset.side;
  if (!side) return;
  const image = slider.querySelector(`[data-image="${side}"]`);
  image.src = event.target.value;
  image.alt = event.target.selectedOptions[0].textContent;
});
