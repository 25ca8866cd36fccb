// Edits a line of a terminal: what keys do, what is drawn. It knows no board.

const ESCAPES = {
  "\x1b[D": "left", "\x1b[C": "right", "\x1b[A": "up", "\x1b[B": "down", "\x1b[H": "home", "\x1b[F": "end",
  "\x1bOH": "home", "\x1bOF": "end", "\x1b[3~": "delete", "\x1b[1;5D": "wordleft", "\x1b[1;5C": "wordright",
  "\x01": "home", "\x05": "end", "\x02": "left", "\x06": "right", "\x10": "up", "\x0e": "down",
  "\x7f": "back", "\b": "back", "\t": "tab", "\r": "enter", "\n": "enter", "\x03": "interrupt",
  "\x04": "leave", "\x15": "clear", "\x0b": "rest", "\x0c": "screen", "\x17": "word",
};
const KEY = /\x1b\[[\d;]*[A-Za-z~]|\x1bO[A-Z]|\x1b|[\x00-\x1f\x7f]|[^\x00-\x1f\x7f]+/g;

export class LineEdit {
  /** `write` draws; `on` has what happens: enter(line), tab(before), interrupt(), leave(). */
  constructor(write, on, columns) {
    this.write = write;
    this.on = on;
    this.columns = columns;
    this.history = [];
    this.active = false;
    this.queue = [];
  }

  /** Begin a line behind `prompt`, with `text` in it. */
  begin(prompt, text = "") {
    this.prompt = prompt;
    this.line = text;
    this.at = text.length;
    this.row = 0;
    this.place = this.history.length;
    this.draft = "";
    this.active = true;
    this.draw();
    while (this.active && this.queue.length) this.key(this.queue.shift());
  }

  /** Keep a line among those that ↑ brings back. */
  remember(line) {
    if (line.trim() && this.history.at(-1) !== line) this.history.push(line);
  }

  /** Take what was typed or pasted. While no line is edited, it is kept for the next one. */
  input(data) {
    for (const key of data.match(KEY) ?? []) {
      if (this.active) this.key(key);
      else if (key === "\x03") {
        this.queue = [];
        this.on.interrupt();
      } else this.queue.push(key);
    }
  }

  /** Put text at the cursor. */
  insert(text) {
    this.line = this.line.slice(0, this.at) + text + this.line.slice(this.at);
    this.at += text.length;
    this.draw();
  }

  key(key) {
    const name = ESCAPES[key];
    if (name) this[name]();
    else if (key >= " ") this.insert(key);
  }

  set(line, at = line.length) {
    this.line = line;
    this.at = at;
    this.draw();
  }

  move(at) {
    this.at = Math.max(0, Math.min(this.line.length, at));
    this.draw();
  }

  left() { this.move(this.at - 1); }
  right() { this.move(this.at + 1); }
  home() { this.move(0); }
  end() { this.move(this.line.length); }
  wordleft() { this.move(Math.max(0, this.line.slice(0, this.at).search(/\w+\W*$/))); }
  wordright() { this.move(this.at + (/^\W*\w*/.exec(this.line.slice(this.at))[0].length)); }
  back() { if (this.at) this.set(this.line.slice(0, this.at - 1) + this.line.slice(this.at), this.at - 1); }
  delete() { this.set(this.line.slice(0, this.at) + this.line.slice(this.at + 1), this.at); }
  clear() { this.set(this.line.slice(this.at), 0); }
  rest() { this.set(this.line.slice(0, this.at)); }
  screen() { this.write("\x1b[2J\x1b[H"); this.row = 0; this.draw(); }

  word() {
    const kept = this.line.slice(0, this.at).replace(/\S+\s*$/, "");
    this.set(kept + this.line.slice(this.at), kept.length);
  }

  up() { this.recall(this.place - 1); }
  down() { this.recall(this.place + 1); }

  recall(place) {
    if (place < 0 || place > this.history.length) return;
    if (this.place === this.history.length) this.draft = this.line;
    this.place = place;
    this.set(this.history[place] ?? this.draft);
  }

  tab() {
    const before = this.line.slice(0, this.at);
    if (before.trim()) this.on.tab(before);
    else this.insert("    ");
  }

  enter() { this.finish(); this.on.enter(this.line); }
  interrupt() { this.finish("^C"); this.on.interrupt(); }
  leave() { if (!this.line) { this.finish(); this.on.leave(); } }

  finish(mark = "") {
    this.move(this.line.length);
    this.active = false;
    this.write(`${mark}\r\n`);
  }

  /** Draw prompt and line anew, which may be longer than the terminal is wide. */
  draw() {
    const columns = this.columns();
    const text = this.prompt + this.line;
    const total = text.length, cursor = this.prompt.length + this.at;
    let out = this.row ? `\x1b[${this.row}A` : "";
    out += `\r\x1b[J${text}`;
    if (total && total % columns === 0) out += "\r\n";
    const up = Math.floor(total / columns) - Math.floor(cursor / columns);
    if (up) out += `\x1b[${up}A`;
    out += `\r${cursor % columns ? `\x1b[${cursor % columns}C` : ""}`;
    this.row = Math.floor(cursor / columns);
    this.write(out);
  }
}
