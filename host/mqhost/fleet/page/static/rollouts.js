// Begins a rollout out of what is filled in.

import {ask, sure} from "./page.js";
import "./images.js";

const OPTIONS = ["canary", "wave", "max_failed", "parallel", "window", "wait", "settle"];
const form = document.getElementById("begin");

function complain(text) {
  form.querySelector(".note")?.remove();
  const note = document.createElement("p");
  note.className = "note bad";
  note.setAttribute("role", "alert");
  note.textContent = text;
  form.append(note);
}

/** Say what would happen. */
function told({waves, skipped}) {
  const sizes = waves.map((wave) => wave.length);
  const boards = sizes.reduce((sum, size) => sum + size, 0);
  const left = Object.keys(skipped).length;
  const text = `${boards} ${boards === 1 ? "board" : "boards"} in ${sizes.length} ${sizes.length === 1 ? "wave" : "waves"} (${sizes.join(", ")})`;
  return `${text}${left ? `; ${left} skipped` : ""}. Begin?`;
}

form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const filled = new FormData(form);
  const options = {};
  for (const name of OPTIONS) if (filled.get(name).trim()) options[name] = filled.get(name).trim();
  const body = {images: filled.getAll("images"), options};
  for (const name of ["pattern", "group", "where"]) {
    const text = filled.get(name)?.trim(); // where there are no groups, none can be chosen
    if (text) body[name] = text;
  }
  try {
    const plan = await ask("/api/rollouts", {...body, plan: true});
    if (!(await sure(told(plan)))) return;
    const made = await ask("/api/rollouts", body);
    window.location.href = `/rollouts/${made.id}`;
  } catch (error) {
    complain(error.message);
  }
});
