// Brings the files of a build to the server: image, offer and signature in one request.

import {token} from "./page.js";

const form = document.getElementById("upload");
const state = document.getElementById("upload-state");

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const body = new FormData(form);
  state.textContent = "On its way …";
  form.querySelector("button").disabled = true;
  try {
    const answer = await fetch("/api/images", {method: "POST", headers: token(), body});
    const said = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new Error(said.error ?? `The server answered ${answer.status}.`);
    state.textContent = `${said.board} ${said.version} is here.`;
    window.location.reload();
  } catch (error) {
    state.textContent = error.message;
  } finally {
    form.querySelector("button").disabled = false;
  }
});
