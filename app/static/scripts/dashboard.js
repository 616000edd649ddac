// Charts of the dashboard, by minute, from /v1/report; colours are the page's own.
const root = document.documentElement.dataset.root || "";  // the path at which a proxy has Argus

const charts = document.getElementById("charts");
const minutes = Number(charts.dataset.minutes);
const dark = matchMedia("(prefers-color-scheme: dark)");
const KINDS = {
  rate: [["accepted", "--exact", (m) => m.accepted], ["stored", "--sm", (m) => m.stored], ["late or failed", "--bad", (m) => m.violations]],
  latency: [["p95, seconds", "--exact", (m) => m.latency_p95_s]],
  score: [["mean", "--exact", (m) => m.score_mean]],
};
let drawn = [];

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// A line needs two minutes; the only one there is, is a dot.
const alone = (chart, i) => chart.data[i].filter((value) => value !== null).length === 1;

// Minutes without a request are zero requests, and no latency.
function filled(report) {
  const found = new Map(report.minutes.map((m) => [Date.parse(m.minute) / 60000, m]));
  const last = Math.floor(Date.parse(report.until) / 60000), rows = [];
  for (let minute = last - minutes + 1; minute <= last; minute += 1) {
    rows.push([minute * 60, found.get(minute) || { accepted: 0, stored: 0, violations: 0, latency_p95_s: null, score_mean: null }]);
  }
  return rows;
}

function options(kind, box) {
  const axis = { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
  return {
    width: box.clientWidth, height: 170, cursor: { points: { size: 5 } }, legend: { live: true },
    scales: { y: { range: (u, low, high) => [0, Math.max(high || 0, kind === "rate" ? 1 : 0.1) * 1.1] } },
    axes: [{ ...axis, grid: { show: false }, values: "{HH}:{mm}" }, { ...axis, size: 44 }],
    series: [{}, ...KINDS[kind].map(([label, name], i) => ({
      label, stroke: colour(name), width: 1.5, spanGaps: true, fill: i === 0 ? colour(name) + "22" : undefined, points: { show: alone, size: 6 },
      value: (u, v) => (v === null ? "–" : kind === "score" ? v.toFixed(3) : v.toFixed(kind === "latency" ? 1 : 0)),
    }))],
  };
}

async function draw() {
  const answer = await fetch(`${root}/v1/report?minutes=${minutes}`);
  if (!answer.ok) return;
  const rows = filled(await answer.json());
  const fresh = drawn.length === 0;
  charts.querySelectorAll("[data-chart]").forEach((box, i) => {
    const kind = box.dataset.chart;
    const data = [rows.map(([at]) => at), ...KINDS[kind].map(([, , pick]) => rows.map(([, m]) => pick(m)))];
    if (fresh) drawn.push(new uPlot(options(kind, box), data, box));
    else drawn[i].setData(data);
  });
}

function again() {
  drawn.forEach((chart) => chart.destroy());
  drawn = [];
  draw();
}

addEventListener("resize", () => drawn.forEach((chart) => chart.setSize({ width: chart.root.parentNode.clientWidth, height: 170 })));
dark.addEventListener("change", again);
setInterval(() => document.hidden || draw(), 5000);
draw();
