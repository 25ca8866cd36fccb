// The Python prompt on a board: a line editor in xterm.js, whose lines the board runs.

import {Terminal} from "./vendor/xterm.js";
import {FitAddon} from "./vendor/xterm-fit.js";
import {LineEdit} from "./lineedit.js";

const place = document.getElementById("console");
const state = document.getElementById("console-state");
const again = document.getElementById("console-again");
const prefix = document.getElementById("board").dataset.prefix;
const PROMPT = ">>> ", MORE = "... ", INDENT = "    ";
const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;

const terminal = new Terminal({
  convertEol: true, cursorBlink: !calm, fontSize: 14, scrollback: 5000, screenReaderMode: true,
  fontFamily: 'ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace',
  theme: {background: "#10151b", foreground: "#e6ebf1", cursor: "#6cb0ff", selectionBackground: "#2c4a6e",
    brightBlack: "#8b98a5", red: "#ff8d85"},
});
const fit = new FitAddon();
terminal.loadAddon(fit);
terminal.open(place);
fit.fit();
new ResizeObserver(() => fit.fit()).observe(place);

let socket = null, text = "", word = "", asked = 0, fresh = true;
const edit = new LineEdit((out) => terminal.write(out), {enter, tab, interrupt, leave: close}, () => terminal.cols);
terminal.onData((data) => edit.input(data.replaceAll("\r\n", "\r")));

function say(word, kind) {
  state.textContent = word;
  state.className = `badge ${kind}`;
}

function send(told) {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(told));
}

function enter(line) {
  edit.remember(line);
  text = text ? `${text}\n${line}` : line;
  if (!text.trim()) {
    prompt();
    return;
  }
  say("running", "busy");
  asked += 1;
  send({run: text, id: asked});
}

function prompt() {
  text = "";
  say("ready", "good");
  if (!fresh) terminal.write("\r\n");
  fresh = true;
  edit.begin(PROMPT);
}

/** Go on with a text that is not whole: as deep as the last line, or deeper. */
function more() {
  const last = text.slice(text.lastIndexOf("\n") + 1);
  const deep = /^\s*/.exec(last)[0];
  say("ready", "good");
  edit.begin(MORE, /:\s*(#.*)?$/.test(last) ? deep + INDENT : deep);
}

function interrupt() {
  if (text && !edit.active && state.textContent === "running") send({interrupt: true});
  else prompt();
}

function tab(before) {
  asked += 1;
  word = /[\w.]*$/.exec(before)[0];
  send({complete: before, id: asked});
}

/** Put in what all completions begin with; show them if that is nothing more. */
function completed(id, names) {
  if (id !== asked || !edit.active || !names.length) return;
  let common = names[0];
  for (const name of names) while (!name.startsWith(common)) common = common.slice(0, -1);
  if (common.length > word.length) edit.insert(common.slice(word.length));
  else if (names.length > 1) {
    const last = names.map((name) => name.slice(name.lastIndexOf(".") + 1));
    const wide = Math.max(...last.map((name) => name.length)) + 2;
    const across = Math.max(1, Math.floor(terminal.cols / wide));
    let out = "";
    last.forEach((name, index) => { out += (index % across ? "" : "\r\n") + name.padEnd(wide); });
    terminal.write(`${out}\r\n`);
    edit.row = 0;
    edit.draw();
  }
}

function heard(told) {
  if (told.out !== undefined) {
    terminal.write(told.out);
    fresh = told.out.endsWith("\n");
  } else if (told.more !== undefined) more();
  else if (told.done !== undefined) prompt();
  else if (told.names) completed(told.completed, told.names);
  else if (told.ready !== undefined) {
    terminal.write(`\x1b[90m${told.ready} ${told.version ?? ""}\x1b[0m\r\n`);
    prompt();
    terminal.focus();
  } else if (told.error) terminal.write(`\r\n\x1b[31m${told.error}\x1b[0m\r\n`);
}

function close() {
  socket?.close();
}

function connect() {
  again.hidden = true;
  say("connecting", "");
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  socket = new WebSocket(`${scheme}://${location.host}/api/board/repl?prefix=${encodeURIComponent(prefix)}`);
  socket.onmessage = (event) => heard(JSON.parse(event.data));
  socket.onclose = () => {
    say("closed", "warn");
    edit.active = false;
    again.hidden = false;
  };
}

again.addEventListener("click", connect);
document.getElementById("console-interrupt").addEventListener("click", () => {
  send({interrupt: true});
  terminal.focus();
});
connect();
