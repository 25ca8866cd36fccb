// Follows a board's log: lines are added as they come, and the oldest go.

const MOST = 2000; // lines that are kept
const log = document.getElementById("log");
const state = document.getElementById("log-state");
const following = document.getElementById("log-follow");
const prefix = document.getElementById("board").dataset.prefix;
const LEVELS = {D: "debug", I: "info", W: "warning", E: "error", C: "critical"};

function say(text, kind = "") {
  state.textContent = text;
  state.className = `badge ${kind}`;
}

function levelOf(line) {
  const found = /\b(DEBUG|INFO|WARNING|ERROR|CRITICAL)\b/i.exec(line.slice(0, 40));
  if (found) return found[1].toLowerCase();
  return LEVELS[/^(?:[\d:.\- T]+ )?([DIWEC])[ :/]/.exec(line)?.[1]] ?? "";
}

function add(lines) {
  const fragment = document.createDocumentFragment();
  for (const line of lines) {
    const row = document.createElement("div");
    row.textContent = line;
    row.className = levelOf(line);
    fragment.append(row);
  }
  log.append(fragment);
  while (log.childElementCount > MOST) log.firstElementChild.remove();
  if (following.checked) log.scrollTop = log.scrollHeight;
}

log.addEventListener("scroll", () => {
  const below = log.scrollHeight - log.clientHeight - log.scrollTop;
  if (below > 40) following.checked = false;
  else if (below < 4) following.checked = true;
});
following.addEventListener("change", () => { if (following.checked) log.scrollTop = log.scrollHeight; });
document.getElementById("log-clear").addEventListener("click", () => log.replaceChildren());

const source = new EventSource(`/api/board/log?prefix=${encodeURIComponent(prefix)}`);
source.onopen = () => say("following", "good");
source.onerror = () => say("connecting", "warn");
source.addEventListener("log", (event) => {
  const told = JSON.parse(event.data);
  add(Array.isArray(told) ? told : told.lines ?? [told.line ?? String(told)]);
});
window.addEventListener("pagehide", () => source.close());
