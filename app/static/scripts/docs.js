// RapiDoc has no theme of its own that follows the page or the system, and hides its list of addresses on a narrow screen.
const system = matchMedia("(prefers-color-scheme: dark)");
const narrow = matchMedia("(max-width: 767px)");

function follow() {
  const api = document.getElementById("api");
  const chosen = document.documentElement.dataset.theme;
  const colours = (chosen ? chosen === "dark" : system.matches)
    ? { theme: "dark", "bg-color": "#14171a", "primary-color": "#2dd4bf", "nav-bg-color": "#1c2024", "nav-text-color": "#c9cdd1" }
    : { theme: "light", "bg-color": "#ffffff", "primary-color": "#0f766e", "nav-bg-color": "#f6f6f4", "nav-text-color": "#44474b" };
  api.setAttribute("render-style", narrow.matches ? "view" : "focused");
  api.setAttribute("font-size", narrow.matches ? "default" : "large");
  Object.entries(colours).forEach(([name, value]) => api.setAttribute(name, value));
}

system.addEventListener("change", follow);
new MutationObserver(follow).observe(document.documentElement, { attributeFilter: ["data-theme"] });
narrow.addEventListener("change", follow);
follow();
