// Writes files of a board: those that somebody brings, and the one that is edited in the page.

import {add, complain} from "./jobcards.js";
import {sure, token} from "./page.js";

const files = () => document.getElementById("files");
const editor = () => document.getElementById("edit");
const text = () => editor()?.elements.text;
const unsaved = () => Boolean(text()) && text().value !== text().defaultValue;

function say(form, words) {
  form.querySelector("[role=status]").textContent = words;
}

/** Write a file; returns the job when it has ended well, and throws an Error with a sentence. */
async function write(address, query, body) {
  const url = new URL(address, window.location.href);
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
  const headers = {...token(), "Content-Type": "application/octet-stream"};
  const answer = await fetch(url, {method: "PUT", headers, body});
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(said.error ?? `The server answered ${answer.status}.`);
  const job = await add(said.id);
  if (job?.state !== "done") throw new Error(job?.text || "It is not known what came of it.");
  return job;
}

async function save(form) {
  const written = text().value;
  const lines = form.dataset.newline === "crlf" ? written.replaceAll("\n", "\r\n") : written;
  say(form, "On its way …");
  const job = await write(form.dataset.put, {was: form.dataset.was}, new Blob([lines]));
  form.dataset.was = job.result.sha256;
  if (text()) text().defaultValue = written; // what was written since is not saved
  say(form, "Saved.");
}

/** Return whether a file may be written there: one that has its name is only replaced if wished. */
async function wished(name, largest, file) {
  if (file.size > largest) {
    throw new Error(`${name} has ${file.size.toLocaleString("en")} B; ${largest.toLocaleString("en")} B are the most. A larger file goes by: mqboard put.`);
  }
  const there = files().querySelector(`[data-file="${CSS.escape(name)}"]`);
  return there ? sure(`${name} is there already. Replace it?`) : "new";
}

async function bring(form) {
  const {put, folder, then, largest} = form.dataset;
  for (const file of form.elements.files.files) {
    const wish = await wished(file.name, Number(largest), file);
    if (!wish) continue;
    say(form, `${file.name} is on its way …`);
    const query = {path: `${folder}/${file.name}`};
    await write(put, wish === "new" ? {...query, was: "none"} : query, file);
  }
  htmx.ajax("GET", then, {target: "#files", swap: "innerHTML"});
}

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!form.dataset.put) return;
  event.preventDefault();
  form.querySelector(":scope > .note")?.remove();
  const button = form.querySelector("button");
  button.disabled = true;
  try {
    await (form.id === "edit" ? save(form) : bring(form));
  } catch (error) {
    say(form, "");
    complain(form, error.message);
  } finally {
    button.disabled = false;
  }
});

// What was written and not saved is not lost by a click elsewhere.
window.addEventListener("beforeunload", (event) => { if (unsaved()) event.preventDefault(); });
document.addEventListener("htmx:confirm", async (event) => {
  if (!unsaved() || event.detail.target !== files()) return;
  event.preventDefault();
  if (await sure("What you wrote is not saved. Leave it?")) event.detail.issueRequest(true);
});
