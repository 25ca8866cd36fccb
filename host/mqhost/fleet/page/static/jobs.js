// Sends what somebody wishes to the API, and shows how far the job is that comes of it.

import {ask, follow, sure} from "./page.js";

const LOOK = 400; // ms between two looks at a job
const BADGES = {done: "good", failed: "bad", cancelled: "warn", queued: "", running: "busy"};

/** Tell what shows a board that something has happened to it. */
function changed() {
  document.body.dispatchEvent(new CustomEvent("board"));
}

function draw(card, job) {
  const ended = job.ended_at !== null;
  const set = (name, text) => { card.querySelector(name).textContent = text; };
  set(".what", job.what);
  set(".stage", ended ? "" : job.stage);
  set(".text", job.text);
  const badge = card.querySelector(".state");
  badge.textContent = job.cancelling ? "cancelling" : job.state;
  badge.className = `badge state ${BADGES[job.state] ?? ""}`;
  const bar = card.querySelector("progress");
  bar.hidden = ended;
  if (job.total) bar.value = job.done / job.total;
  else bar.removeAttribute("value");
  card.querySelector(".cancel").hidden = ended || job.cancelling;
  card.querySelector(".close").hidden = !ended;
}

async function watch(card, id) {
  card.querySelector(".close").onclick = () => card.remove();
  card.querySelector(".cancel").onclick = () => ask(`/api/jobs/${id}`, undefined, "DELETE").catch(() => {});
  for (;;) {
    let job;
    try {
      job = await ask(`/api/jobs/${id}`);
    } catch (error) {
      if (card.isConnected) card.querySelector(".text").textContent = error.message;
      return;
    }
    draw(card, job);
    if (job.ended_at !== null || !card.isConnected) break;
    await new Promise((go) => setTimeout(go, LOOK));
  }
  changed();
}

function add(id) {
  const card = document.getElementById("job").content.firstElementChild.cloneNode(true);
  document.getElementById("jobs").prepend(card);
  watch(card, id);
}

function complain(form, text) {
  let note = form.querySelector(":scope > .note");
  if (!note) {
    note = document.createElement("p");
    note.className = "note bad";
    note.setAttribute("role", "alert");
    form.append(note);
  }
  note.textContent = text;
}

/** Return what is filled in as the API takes it. */
function filled(form) {
  const body = {};
  for (const field of form.elements) {
    if (!field.name) continue;
    body[field.name] = field.type === "checkbox" ? field.checked : field.value;
  }
  if (form.dataset.shape !== "set") return body;
  let value = body.value;
  try { value = JSON.parse(value); } catch { /* it is text */ }
  return {set: {[body.key.trim()]: value}};
}

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!form.dataset.api || event.defaultPrevented) return;
  event.preventDefault();
  if (!(await sure(form.dataset.ask))) return;
  form.querySelector(":scope > .note")?.remove();
  const button = form.querySelector("button");
  button.disabled = true;
  try {
    const job = await ask(form.dataset.api, filled(form));
    add(job.id);
  } catch (error) {
    complain(form, error.message);
  } finally {
    button.disabled = false;
  }
});

for (const place of document.querySelectorAll("[data-job]")) {
  const id = place.dataset.job;
  place.remove();
  add(id);
}

const prefix = document.getElementById("board").dataset.prefix;
follow(`/live/board?prefix=${encodeURIComponent(prefix)}`, {changed}, changed);
