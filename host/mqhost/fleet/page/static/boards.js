// Keeps the list of boards up to date: rows are replaced as boards say something.

import {follow} from "./page.js";

const PAUSE = 1500; // ms in which boards that come and go are gathered
let end = null, timer = 0, followed = "";

const fleet = () => document.getElementById("fleet");
const row = (prefix) => document.querySelector(`#rows > tr[data-prefix="${CSS.escape(prefix)}"]`);

function parse(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content.firstElementChild;
}

/** Draw the whole list anew, soon: another board belongs into it. */
function refresh() {
  if (timer) return;
  timer = setTimeout(() => {
    timer = 0;
    htmx.ajax("GET", fleet().dataset.here, {target: "#fleet", swap: "outerHTML"});
  }, PAUSE);
}

function replace(old, html) {
  const fresh = parse(html);
  const focused = old.contains(document.activeElement);
  fresh.classList.add("new");
  old.replaceWith(fresh);
  if (focused) fresh.querySelector("a").focus();
}

function heard({rows, gone, chips}) {
  document.getElementById("chips").replaceWith(parse(chips));
  htmx.process(document.getElementById("chips"));
  for (const [prefix, html] of Object.entries(rows)) {
    const old = row(prefix);
    if (old) replace(old, html);
    else refresh();
  }
  if (gone.some(row)) refresh();
}

/** Whoever drew the list did so before it was followed: what has happened since then is drawn. */
function begun({mark}) {
  if (mark !== fleet().dataset.mark) refresh();
}

function listen() {
  if (followed === fleet().dataset.live) return;
  followed = fleet().dataset.live;
  end?.();
  end = follow(followed, {rows: heard, list: begun});
}

document.addEventListener("htmx:afterSettle", () => { if (fleet()) listen(); });
listen();
