// Sends what somebody wishes to the API, and shows how far the job is that comes of it.

import {add, changed, complain} from "./jobcards.js";
import {ask, follow, sure} from "./page.js";

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
    const method = form.dataset.method ?? "POST";
    const job = await ask(form.dataset.api, method === "POST" ? filled(form) : undefined, method);
    const over = add(job.id);
    if (form.dataset.then && (await over)?.state === "done") {
      htmx.ajax("GET", form.dataset.then, {target: "#files", swap: "innerHTML"});
    }
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
