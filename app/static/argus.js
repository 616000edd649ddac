// What pages do by themselves: count prompts, show the chosen file, follow a job, keep the pixel switch.
"use strict";

const root = document.documentElement.dataset.root || "";  // the path at which a proxy has Argus

const one = (selector) => document.querySelector(selector);

function form() {
  const prompts = one("#prompts"), file = one("#file");
  if (!prompts) return;
  const key = prompts.form.elements.idempotency_key;
  // Come back to, the form makes another job; pressed twice, one.
  addEventListener("pageshow", (event) => { if (event.persisted) key.value = `${Date.now()}-${Math.random()}`; });
  const count = () => {
    const lines = prompts.value.split("\n").filter((line) => line.trim()).length;
    one("#count").textContent = file.files.length || !lines ? "" : lines === 1 ? "1 prompt" : `${lines} prompts`;
  };
  const chosen = () => {
    one("#filename").textContent = file.files.length ? file.files[0].name : "or drop one on the text";
    prompts.disabled = file.files.length > 0;
    count();
  };
  prompts.addEventListener("input", count);
  prompts.addEventListener("dragover", (event) => event.preventDefault());
  prompts.addEventListener("drop", (event) => {
    if (!event.dataTransfer.files.length) return;
    event.preventDefault();
    file.files = event.dataTransfer.files;
    chosen();
  });
  prompts.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) prompts.form.requestSubmit();
  });
  file.addEventListener("change", chosen);
  chosen();
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
      const line = JSON.parse(event.data), cell = document.getElementById(`r-${line.id}`);
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
  show(localStorage.getItem("pixelated") === "yes");
  if (!box) return;
  box.checked = page.classList.contains("pixelated");
  box.addEventListener("change", () => {
    localStorage.setItem("pixelated", box.checked ? "yes" : "no");
    show(box.checked);
  });
}

form();
follow();
pixels();
