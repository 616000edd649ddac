// The image that the form begins with, and a brush over it: what is painted becomes the mask file when the form is sent.
const one = (selector) => document.querySelector(selector);

const easel = one("#easel"), begun = one("#begun"), brush = one("#brush"), strength = one("#strength");
const imageFile = one("#image-file"), maskFile = one("#mask-file");
const asImage = one("#as-image");  // the size that leaves the choice to the server
const UNPAINTED = "white is drawn anew";
let strokes = [], kept = false, chosen = Boolean(strength?.dataset.chosen);  // kept: the strokes are the mask file

const hasMask = () => strokes.length > 0 || maskFile.files.length > 0 || one("#mask").value !== "";

function say() {
  if (!chosen) strength.value = hasMask() ? strength.dataset.mask : strength.dataset.image;
  one("#strength-says").textContent = Number(strength.value).toFixed(2);
}

function paint() {
  const pen = brush.getContext("2d");
  pen.clearRect(0, 0, brush.width, brush.height);
  Object.assign(pen, { strokeStyle: "#fff", lineCap: "round", lineJoin: "round" });
  strokes.forEach(({ width, points }) => {
    pen.lineWidth = width;
    pen.beginPath();
    pen.moveTo(points[0][0], points[0][1] + 0.01);  // a dot is a line, too
    points.forEach(([x, y]) => pen.lineTo(x, y));
    pen.stroke();
  });
}

// The mask is another now, what is painted, a file, or none: the one that was there is not sent.
function mask(file = null) {
  one("#mask").value = "";
  if (file) strokes = []; else maskFile.value = "";
  kept = false;
  one("#mask-name").textContent = file?.name ?? (strokes.length ? "painted" : UNPAINTED);
  paint();
  say();
}

function unmask() {
  strokes = [];
  mask();
}

// Painted strokes as the file of the form: white on black, as many pixels as the image.
async function keep() {
  const sheet = document.createElement("canvas"), files = new DataTransfer();
  [sheet.width, sheet.height] = [brush.width, brush.height];
  const pen = sheet.getContext("2d");
  pen.fillRect(0, 0, sheet.width, sheet.height);
  pen.drawImage(brush, 0, 0);
  const blob = await new Promise((done) => { sheet.toBlob(done, "image/png"); });
  files.items.add(new File([blob], "painted.png", { type: "image/png" }));
  maskFile.files = files.files;
  kept = true;
}

function place(event) {
  const box = brush.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width * brush.width, (event.clientY - box.top) / box.height * brush.height];
}

function painting() {
  brush.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    brush.setPointerCapture(event.pointerId);
    strokes.push({ width: one("#brush-size").value / 100 * Math.max(brush.width, brush.height), points: [place(event)] });
    mask();
  });
  brush.addEventListener("pointermove", (event) => {
    if (!brush.hasPointerCapture(event.pointerId)) return;
    strokes.at(-1).points.push(place(event));
    paint();
  });
  one("#undo").addEventListener("click", () => { strokes.pop(); mask(); });
  one("#no-mask").addEventListener("click", unmask);
  maskFile.addEventListener("change", () => { if (maskFile.files.length) mask(maskFile.files[0]); });
}

function choosing() {
  imageFile.addEventListener("change", () => {
    if (!imageFile.files.length) return;
    const reader = new FileReader();  // the pages' policy shows no blobs
    reader.addEventListener("load", () => { begun.dataset.fresh = "yes"; begun.src = reader.result; });
    reader.readAsDataURL(imageFile.files[0]);
    one("#begin").open = true;
  });
  begun.addEventListener("load", () => {
    [brush.width, brush.height] = [begun.naturalWidth, begun.naturalHeight];
    easel.hidden = one("#no-image").hidden = asImage.hidden = false;
    if (!begun.dataset.fresh) return;
    one("#image").value = "";
    one("#image-name").textContent = `${imageFile.files[0].name}, ${begun.naturalWidth} × ${begun.naturalHeight}`;
    asImage.querySelector("input").checked = true;
    unmask();
  });
  begun.addEventListener("error", () => {
    easel.hidden = true;
    one("#image-name").textContent = "This cannot be shown: is it a PNG, JPEG or WebP file?";
  });
  one("#no-image").addEventListener("click", () => {
    imageFile.value = one("#image").value = "";
    unmask();
    if (asImage.querySelector("input").checked) one("[name=size][data-usual]").checked = true;
    easel.hidden = one("#no-image").hidden = asImage.hidden = true;
    one("#image-name").textContent = "or drop one here";
  });
}

// What becomes of the image says what else is asked for; without scripts all of it is there.
function becoming() {
  const becomes = one("#becomes"), second = one("#second-file");
  const show = () => {
    document.querySelectorAll("#restoring [data-for]").forEach((field) => { field.hidden = field.dataset.for !== becomes.value; });
    const masked = ["", "mask"].includes(becomes.value);
    strength.closest(".field").hidden = becomes.value !== "";
    document.querySelectorAll("[data-mask-part]").forEach((part) => { part.hidden = !masked; });
    if (!masked) unmask();
  };
  becomes.addEventListener("change", show);
  second.addEventListener("change", () => { one("#second-name").textContent = second.files[0]?.name ?? "as large as the image"; });
  show();
}

if (easel) {
  choosing();
  becoming();
  painting();
  strength.addEventListener("input", () => { chosen = true; say(); });
  strength.form.addEventListener("submit", async (event) => {
    if (!strokes.length || kept) return;
    event.preventDefault();
    await keep();
    strength.form.requestSubmit(event.submitter);
  });
  if (begun.complete && begun.naturalWidth) begun.dispatchEvent(new Event("load"));
  say();
}
