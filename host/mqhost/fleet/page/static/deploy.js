// Brings an application, in its package, to the board.

import {add, complain} from "./jobcards.js";
import {token} from "./page.js";

const form = document.getElementById("deploy");

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  form.querySelector(":scope > .note")?.remove();
  const body = new FormData();
  body.append("package", form.elements.package.files[0]);
  const address = `${form.dataset.deploy}&retry_failed=${form.elements.retry_failed.checked}`;
  form.querySelector("button").disabled = true;
  try {
    const answer = await fetch(address, {method: "POST", headers: token(), body});
    const said = await answer.json().catch(() => ({}));
    if (!answer.ok) {
      throw new Error(said.error ?? Object.values(said.left ?? {})[0] ?? `The server answered ${answer.status}.`);
    }
    for (const job of said.jobs) add(job.id);
  } catch (error) {
    complain(form, error.message);
  } finally {
    form.querySelector("button").disabled = false;
  }
});
