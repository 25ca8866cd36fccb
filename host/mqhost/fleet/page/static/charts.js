// Draws how heap, signal and reconnects of a board went, with uPlot.

import {ask} from "./page.js";

const prefix = document.getElementById("board").dataset.prefix;
const hours = document.getElementById("hours");
const AGAIN = 60_000; // ms
const WHOLE = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]; // steps of what is counted
const plots = new Map();

const ink = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function options(place) {
  const line = ink("--line"), quiet = ink("--quiet"), accent = ink("--accent");
  const axis = {stroke: quiet, grid: {stroke: line, width: 1}, ticks: {show: false}, font: "12px sans-serif"};
  return {
    width: place.clientWidth, height: 170, legend: {show: false}, padding: [8, 8, 0, 0],
    cursor: {y: false, points: {size: 7}},
    axes: [{...axis, grid: {show: false}}, {...axis, size: 52, ...(place.dataset.unit ? {} : {incrs: WHOLE})}],
    series: [{}, {stroke: accent, width: 2, fill: `color-mix(in srgb, ${accent} 12%, transparent)`,
      fillTo: (plot) => plot.scales.y.min, points: {show: place.points < 40, size: 5}, spanGaps: false}],
    hooks: {setCursor: [(plot) => tell(place, plot.data, plot.cursor.idx)]},
  };
}

function tell(place, [times, values], index) {
  const at = index ?? values.length - 1;
  const output = place.parentElement.querySelector("output");
  if (at < 0 || values[at] === null || values[at] === undefined) {
    output.textContent = "";
    return;
  }
  const value = `${values[at].toLocaleString(undefined, {maximumFractionDigits: 1})} ${place.dataset.unit}`.replace("-", "−");
  output.textContent = index === null || index === undefined ? value : `${value}, ${new Date(times[at] * 1000).toLocaleTimeString()}`;
}

function data(place, points) {
  const scale = place.dataset.unit === "KB" ? 1000 : 1;
  return [points.map(([at]) => at), points.map(([, value]) => (value === null ? null : value / scale))];
}

async function draw(place) {
  const address = `/api/history?prefix=${encodeURIComponent(prefix)}&what=${place.dataset.what}&hours=${hours.value}`;
  let drawn;
  try {
    drawn = data(place, (await ask(address)).points);
  } catch (error) {
    place.textContent = error.message;
    return;
  }
  plots.get(place)?.destroy();
  plots.delete(place);
  place.replaceChildren();
  if (!drawn[0].length) {
    place.innerHTML = '<p class="empty">Nothing yet: the server asks each board from time to time.</p>';
    return;
  }
  place.points = drawn[0].length;
  plots.set(place, new uPlot(options(place), drawn, place));
  tell(place, drawn);
}

const places = [...document.querySelectorAll(".chart")];
const all = () => { if (!document.hidden) places.forEach(draw); };
hours.addEventListener("change", all);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", all);
new ResizeObserver(() => {
  for (const [place, plot] of plots) plot.setSize({width: place.clientWidth, height: 170});
}).observe(document.getElementById("charts"));
setInterval(all, AGAIN);
all();
