// The theme that was chosen, before anything is painted; system is none. `argus.js` has the button.
"use strict";

{
  let chosen = null;
  try { chosen = localStorage.getItem("theme"); } catch { /* storage is forbidden: the system decides */ }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
}
