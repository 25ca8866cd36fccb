// Keeps the page of a rollout up to date, and does what is pressed there.

import {ask, follow, sure} from "./page.js";

const number = () => document.getElementById("rollout").dataset.number;

/** Draw it anew; not while a button is held down, which would be another one then. */
function refresh() {
  if (document.querySelector("button:active")) setTimeout(refresh, 200);
  else document.body.dispatchEvent(new CustomEvent("rollout"));
}

function complain(text) {
  const note = document.getElementById("act-error");
  note.textContent = text;
  note.hidden = !text;
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-act]");
  if (!button || !(await sure(button.dataset.ask))) return;
  button.disabled = true;
  complain("");
  try {
    await ask(`/api/rollouts/${number()}/${button.dataset.act}`, {});
    refresh();
  } catch (error) {
    complain(error.message);
    button.disabled = false;
  }
});

follow(`/live/rollouts/${number()}`, {changed: refresh}, refresh);
