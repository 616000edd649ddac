// RapiDoc has no theme of its own that follows the system, and hides its list of addresses on a narrow screen.
const dark = matchMedia("(prefers-color-scheme: dark)");
const narrow = matchMedia("(max-width: 767px)");

function follow() {
  const api = document.getElementById("api");
  const colours = dark.matches
    ? { theme: "dark", "bg-color": "#14171a", "primary-color": "#2dd4bf", "nav-bg-color": "#1c2024", "nav-text-color": "#c9cdd1" }
    : { theme: "light", "bg-color": "#ffffff", "primary-color": "#0f766e", "nav-bg-color": "#f6f6f4", "nav-text-color": "#44474b" };
  api.setAttribute("render-style", narrow.matches ? "view" : "focused");
  api.setAttribute("font-size", narrow.matches ? "default" : "large");
  Object.entries(colours).forEach(([name, value]) => api.setAttribute(name, value));
}

dark.addEventListener("change", follow);
narrow.addEventListener("change", follow);
follow();
