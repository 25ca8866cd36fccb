// What every page does: times go on, and the head tells whether the server is still there.

const STEPS = [[86400, "d"], [3600, "h"], [60, "min"]];

/** Say how long `seconds` are, as mqhost.fleet.page.templating.span does. */
export function span(seconds) {
  let left = Math.max(0, Math.floor(seconds));
  const parts = [];
  for (const [size, unit] of STEPS) {
    if (left >= size || parts.length) {
      parts.push([Math.floor(left / size), unit]);
      left %= size;
    }
    if (parts.length === 2) break;
  }
  return parts.filter(([count]) => count).map(([count, unit]) => `${count} ${unit}`).join(" ") || `${left} s`;
}

function tick() {
  const now = Date.now() / 1000;
  for (const time of document.querySelectorAll("time[data-since]")) {
    const text = span(now - Number(time.dataset.since));
    if (time.textContent !== text) time.textContent = text;
  }
}

/** Times in the reader's own zone. */
function localise(root) {
  for (const time of root.querySelectorAll("time[datetime]:not([title])")) {
    const then = new Date(time.dateTime);
    time.title = `${time.textContent} UTC`;
    const day = then.toLocaleDateString(undefined, {year: "numeric", month: "short", day: "numeric"});
    time.textContent = `${day}, ${then.toLocaleTimeString()}`;
  }
}

/** Show in the head whether what is on the page is still true. */
export function told(alive) {
  const badge = document.getElementById("broker");
  if (!badge) return;
  badge.classList.toggle("good", alive);
  badge.classList.toggle("bad", !alive);
  badge.textContent = alive ? "live" : "no connection";
}

/**
 * Follow the events at `address`: `on` maps their names to functions of their data. While nobody looks
 * at the page it is not followed: a browser has but six connections to a server. `again` is called when
 * it is followed once more. Returns the function that ends it.
 */
export function follow(address, on, again = () => {}) {
  let source = null, before = false;
  function open() {
    if (source || document.hidden) return;
    source = new EventSource(address);
    source.onopen = () => {
      told(true);
      document.documentElement.dataset.following = address;
      if (before) again();
      before = true;
    };
    source.onerror = () => told(false);
    for (const [name, heard] of Object.entries(on)) {
      source.addEventListener(name, (event) => heard(JSON.parse(event.data)));
    }
  }
  function close() {
    source?.close();
    source = null;
  }
  const look = () => (document.hidden ? close() : open());
  document.addEventListener("visibilitychange", look);
  window.addEventListener("pagehide", close);
  open();
  return () => {
    document.removeEventListener("visibilitychange", look);
    window.removeEventListener("pagehide", close);
    close();
  };
}

/** What shows the server that a request comes from this page. */
export const token = () => ({"X-CSRF-Token": document.querySelector('meta[name="csrf-token"]').content});

/** Ask the server for JSON, or send it some; throws an Error with its sentence. */
export async function ask(address, body, method = body === undefined ? "GET" : "POST") {
  const headers = method === "GET" ? {} : token();
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const answer = await fetch(address, {method, headers, body: body && JSON.stringify(body)});
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(said.error ?? `The server answered ${answer.status}.`);
  return said;
}

/** Ask whoever looks whether that is meant; there is nothing to ask without a `question`. */
export function sure(question) {
  if (!question) return Promise.resolve(true);
  const dialog = document.getElementById("ask");
  dialog.querySelector("p").textContent = question;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((go) => {
    dialog.addEventListener("close", () => go(dialog.returnValue === "yes"), {once: true});
  });
}

// Where the session has ended, a part of a page would be the page for logging in: go there instead.
document.addEventListener("htmx:beforeSwap", (event) => {
  const {xhr} = event.detail;
  if (xhr.status === 401) window.location.reload();
  if (xhr.status >= 400 && xhr.getResponseHeader("content-type")?.startsWith("text/html")) {
    event.detail.shouldSwap = true; // the server's sentence stands in it
  }
});
document.addEventListener("htmx:sendError", () => told(false));
document.addEventListener("htmx:afterRequest", (event) => { if (event.detail.successful) told(true); });
document.addEventListener("htmx:afterSettle", (event) => localise(event.detail.elt));
localise(document);
setInterval(tick, 10_000);
