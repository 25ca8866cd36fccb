"""Plays a board whose file commands answer whatever a test wants, the truth or not."""

import json

from fakeboard import FakeBoard

import mqwire
from mqwire import files as wire


class LyingBoard(FakeBoard):
    """Says `entries` of its files, and has `contents`: bytes by path. The attributes below lie."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.entries = []
        self.contents = {}
        self.outcome_of_files = {}  # by command: the object that it ends with
        self.lines = None  # instead of all that
        self.surplus = b""  # comes behind each item
        self.wishes = []

    def _ls(self, ident, body):
        self.wishes.append(json.loads(body))
        lines = [json.dumps(entry).encode() for entry in self.entries]
        self._say_lines(ident, "ls", lines)

    _do_ls = _do_stat = _do_df = _ls

    def _do_rm(self, ident, body):
        self._say_lines(ident, "rm", [])

    def _say_lines(self, ident, command, lines):
        outcome = self.outcome_of_files.get(command, {"done": len(lines)})
        text = b"\n".join([*lines, json.dumps(outcome).encode(), b""])
        self.reply(ident, text if self.lines is None else self.lines)

    def _do_get(self, ident, body):
        items = json.loads(body)["files"]
        messages = []
        for path, offset, length in items:
            data = self.contents.get(path)
            if data is None:
                told = json.dumps({"error": "ENOENT", "path": path}).encode()
                messages.append(bytes((wire.FAULT,)) + told)
                continue
            part = data[offset : offset + length] + self.surplus
            for start in range(0, len(part), wire.PIECE):
                messages.append(bytes((wire.DATA,)) + part[start : start + wire.PIECE])
            messages.append(bytes((wire.END,)) + wire.pack_end(len(data), 1, True))
        topic = mqwire.reply_topic(self.prefix, ident)
        for seq, message in enumerate(messages):
            self._send(topic, mqwire.header(seq, seq == len(messages) - 1) + message)
