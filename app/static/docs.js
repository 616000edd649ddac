// RapiDoc has no theme of its own that follows the system.
"use strict";

const dark = matchMedia("(prefers-color-scheme: dark)");

function follow() {
  const api = document.getElementById("api");
  api.setAttribute("theme", dark.matches ? "dark" : "light");
  api.setAttribute("bg-color", dark.matches ? "#14171a" : "#ffffff");
  api.setAttribute("primary-color", dark.matches ? "#2dd4bf" : "#0f766e");
}

dark.addEventListener("change", follow);
follow();
