// What pages do beside htmx: take files and old prompts into the form, keep the theme, follow a job, show crisp pixels.
const root = document.documentElement.dataset.root || "";  // the path at which a proxy has Argus

const one = (selector) => document.querySelector(selector);

// Where storage is forbidden nothing is remembered, and all else works.
const remember = (name, value) => { try { localStorage.setItem(name, value); } catch { /* forbidden */ } };
const remembered = (name) => { try { return localStorage.getItem(name); } catch { return null; } };

function form() {
  const prompts = one("#prompts"), file = one("#file"), drop = one("#drop"), without = one("#no-file");
  if (!prompts) return;
  const chosen = () => {
    const has = file.files.length > 0;
    one("#filename").textContent = has ? file.files[0].name : "or drop one here";
    prompts.disabled = has;
    without.hidden = !has;
    prompts.form.dispatchEvent(new Event("input"));  // what the form would make is another thing now
  };
  const over = (on) => (event) => { event.preventDefault(); drop.classList.toggle("dropping", on); };
  drop.addEventListener("dragover", over(true));
  drop.addEventListener("dragleave", over(false));
  drop.addEventListener("drop", (event) => {
    over(false)(event);
    const { files } = event.dataTransfer;
    if (!files.length) return;
    const taker = files[0].type.startsWith("image/") ? one("#image-file") : file;
    taker.files = files;
    taker.dispatchEvent(new Event("change"));
  });
  prompts.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) prompts.form.requestSubmit();
  });
  file.addEventListener("change", chosen);
  without.addEventListener("click", () => { file.value = ""; chosen(); prompts.focus(); });
  prompts.form.addEventListener("click", (event) => {
    const text = event.target.dataset.prompt;
    if (text === undefined) return;
    prompts.value = prompts.value.trim() ? `${prompts.value.trimEnd()}\n${text}` : text;
    prompts.dispatchEvent(new Event("input", { bubbles: true }));
    prompts.focus();
  });
  if (file.files.length) chosen();
}

// Come back to, a form makes another job; pressed twice, one.
function again() {
  const key = one("[name=idempotency_key]");
  if (key) addEventListener("pageshow", (event) => { if (event.persisted) key.value = `${Date.now()}-${Math.random()}`; });
}

function theme() {
  const page = document.documentElement, button = one("#theme"), names = ["system", "light", "dark"];
  if (!button) return;
  const show = (name) => {
    if (name === "system") delete page.dataset.theme; else page.dataset.theme = name;
    one("#theme-name").textContent = name;
    remember("theme", name);
  };
  button.hidden = false;
  show(page.dataset.theme || "system");
  button.addEventListener("click", () => show(names[(names.indexOf(page.dataset.theme || "system") + 1) % 3]));
}

// A job's events say what changed; htmx fetches the fragments that show it.
function follow() {
  const job = one("[data-follow]");
  if (!job || job.dataset.open !== "yes") return;
  const id = job.dataset.follow;
  // Its own source: then what comes while it loads is loaded after it, and not instead of another's.
  const swap = (address, target) => htmx.ajax("GET", address, { source: target, target, swap: "innerHTML" });
  const listen = () => {
    const events = new EventSource(`${root}/v1/jobs/${id}/events`);
    events.addEventListener("job", () => swap(`${root}/jobs/${id}/head`, job));
    events.addEventListener("request", (event) => {
      const line = JSON.parse(event.data), cell = document.querySelector(`#r-${CSS.escape(line.id)} .face`);
      const face = [line.state, line.level || "", line.image_id || "", line.score === null ? "" : "scored"].join(" ");
      if (cell && cell.firstElementChild.dataset.face !== face) swap(`${root}/requests/${line.id}/tile`, cell);
    });
    events.addEventListener("end", () => events.close());
    events.addEventListener("error", () => {
      if (events.readyState === EventSource.CLOSED) setTimeout(listen, 5000);  // refused: too many listeners
    });
    addEventListener("pagehide", () => events.close());
  };
  listen();
}

function pixels() {
  const page = document.documentElement, box = one("#pixelated");
  const show = (on) => page.classList.toggle("pixelated", on);
  show(remembered("pixelated") === "yes");
  if (!box) return;
  box.checked = page.classList.contains("pixelated");
  box.addEventListener("change", () => {
    remember("pixelated", box.checked ? "yes" : "no");
    show(box.checked);
  });
}

// Clocks are written in UTC; here they become the reader's own.
function clocks(within) {
  within.querySelectorAll("time[data-clock]").forEach((time) => {
    const seconds = time.textContent.length > 5 ? { second: "2-digit" } : {};
    time.textContent = new Date(time.dateTime).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23", ...seconds });
    delete time.dataset.clock;
  });
}

// What a reader opened stays open when its part of the page is loaded again.
function refreshed() {
  let open = [];
  document.addEventListener("htmx:beforeSwap", (event) => {
    open = [...event.detail.target.querySelectorAll("details[id][open]")].map((each) => each.id);
  });
  document.addEventListener("htmx:afterSwap", (event) => {
    open.forEach((id) => { const found = document.getElementById(id); if (found) found.open = true; });
    clocks(event.detail.target);
  });
}

clocks(document);
refreshed();
theme();
form();
again();
follow();
pixels();
