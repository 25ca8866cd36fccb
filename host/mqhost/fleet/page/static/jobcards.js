// Shows jobs: how far each is, what came of it, and what is wrong with a wish.

import {ask} from "./page.js";

const LOOK = 400; // ms between two looks at a job
const AGAIN = 2000; // ms until the server is asked again that did not answer
const PATIENCE = 90; // times
const BADGES = {done: "good", failed: "bad", cancelled: "warn", interrupted: "warn", queued: "", running: "busy"};

/** Tell what shows a board that something has happened to it. */
export function changed() {
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

/** Draw a job until it has ended; return it then, null if nobody knows. */
async function watch(card, id) {
  card.querySelector(".close").onclick = () => card.remove();
  card.querySelector(".cancel").onclick = () => ask(`/api/jobs/${id}`, undefined, "DELETE").catch(() => {});
  for (let silent = 0; ;) {
    let job;
    try {
      job = await ask(`/api/jobs/${id}`);
      silent = 0;
    } catch (error) {
      if (error instanceof TypeError && card.isConnected && silent++ < PATIENCE) { // of fetch
        card.querySelector(".text").textContent = "The server does not answer …";
        await new Promise((go) => setTimeout(go, AGAIN));
        continue;
      }
      if (card.isConnected) card.querySelector(".text").textContent = error.message;
      return null;
    }
    draw(card, job);
    if (job.ended_at !== null) {
      changed();
      return job;
    }
    if (!card.isConnected) return null;
    await new Promise((go) => setTimeout(go, LOOK));
  }
}

/** Show a job; what is returned comes when it has ended: the job. */
export function add(id) {
  const card = document.getElementById("job").content.firstElementChild.cloneNode(true);
  document.getElementById("jobs").prepend(card);
  return watch(card, id);
}

/** Say below a form what is wrong. */
export function complain(form, text) {
  let note = form.querySelector(":scope > .note");
  if (!note) {
    note = document.createElement("p");
    note.className = "note bad";
    note.setAttribute("role", "alert");
    form.append(note);
  }
  note.textContent = text;
}
