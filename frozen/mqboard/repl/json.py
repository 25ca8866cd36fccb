"""Answers the JSON REPL of the first experiment: Python text on <prefix>/repl/in, an object on
<prefix>/repl/out.

    {"r": repr() of an expression's value or null, "o": output, "e": traceback or null,
     "x": whether it was no expression, and was executed}

An answer is one message, whatever was printed: what is no UTF-8 is replaced, and what is too much
is cut off and counted. Only a board whose configuration has `repl.json` loads this.
"""

import json

from micropython import const

from mqwire import MAX_PAYLOAD

_VALUE = const(1500)  # bytes of a value, and of a traceback
_FRAME = const(60)  # bytes of an answer that are no text


class JsonRepl:
    """Runs texts on `board`; the MQTT client calls `take` with one after the other."""

    def __init__(self, board, log):
        self._board = board
        self._log = log

    async def take(self, topic, payload, retained):
        """Answer a text."""
        if retained:  # it would be executed again at every boot
            self._log.warning("refused the retained text on %s", topic)
            return
        await self._say(self._answer(payload))

    def _say(self, answer):
        # Not in `take`, whose frame would keep the answer (see mqboard.router).
        return self._board.client.publish(self._board.config.prefix + "/repl/out", answer, 1)

    def _answer(self, text):
        """Run a text; return the answer."""
        try:
            return self._run(text)
        except MemoryError:
            return pack(None, b"", 0, b"MemoryError: not enough memory", False)

    def _run(self, text):
        from mqboard.repl.plain import run
        from mqboard.repl.trace import trace

        try:
            source = str(text, "utf-8")
        except UnicodeError:
            return pack(None, b"", 0, b"UnicodeError: the text is no UTF-8", False)
        gathered = Gathered()
        code = _Code(source, self._board.names)
        output, error = run(self._board, gathered, source, code.run)
        gathered.reply_now(output.rest())
        failed = trace(error).encode() if error else None
        return pack(code.value, gathered.data, gathered.lost, failed, code.executed)


class _Code:
    def __init__(self, source, names):
        self._source = source
        self._names = names
        self.value = None
        self.executed = False

    def run(self, output):
        try:
            code = compile(self._source, "<repl>", "eval")
        except SyntaxError:
            self.executed = True
        if self.executed:
            exec(compile(self._source, "<repl>", "exec"), self._names)
            return
        value = eval(code, self._names)
        if value is not None:
            self.value = repr(value).encode()


class Gathered:
    """Stands for a request to mqboard.repl.output: keeps as much as an answer may have."""

    ident = "json-repl"  # for `cancel`

    def __init__(self):
        self.data = bytearray()
        self.lost = 0

    def reply_now(self, data, publish=None):
        """Take output."""
        room = min(MAX_PAYLOAD - len(self.data), len(data))
        self.data.extend(data[:room])
        self.lost += len(data) - room


def pack(value, output, lost, error, executed):
    """Return an answer of at most mqwire.MAX_PAYLOAD bytes; `lost` bytes of output are not there.

    Each of the texts is bytes, or None.
    """
    room = MAX_PAYLOAD - _FRAME
    error = "null" if error is None else _fitted(error, _VALUE, 0)
    value = "null" if value is None else _fitted(value, _VALUE, 0)
    output = _fitted(output, room - len(error.encode()) - len(value.encode()), lost)
    executed = "true" if executed else "false"
    return ('{"r": %s, "o": %s, "e": %s, "x": %s}' % (value, output, error, executed)).encode()


def _fitted(data, room, lost):
    """Return `data` as a JSON text of at most `room` bytes."""
    keep = min(len(data), room)
    while True:
        more = len(data) - keep + lost
        text = readable(data[:keep]) + ("... (%d bytes more)" % more if more else "")
        text = json.dumps(text)
        size = len(text.encode())
        if size <= room:
            return text
        keep = max(0, keep * room // size - 24)  # some characters take six bytes


def readable(data):
    """Return `data`, bytes-like, as text; each byte that is no UTF-8 is a question mark."""
    if not data or max(data) < 0x80:
        return str(data, "utf-8")
    clean = bytearray()
    index = 0
    while index < len(data):
        size = _character(data, index)
        if size:
            clean.extend(data[index : index + size])
        else:
            clean.append(0x3F)
        index += size or 1
    return str(clean, "utf-8")


def _character(data, index):
    """Return how many bytes the character has that begins there, 0 if none does (RFC 3629)."""
    first = data[index]
    if first < 0x80:
        return 1
    size = 2 if 0xC2 <= first < 0xE0 else 3 if first & 0xF0 == 0xE0 else 4
    if not 0xC2 <= first < 0xF5 or index + size > len(data):
        return 0
    for place in range(index + 1, index + size):
        if data[place] & 0xC0 != 0x80:
            return 0
    second = data[index + 1]
    low = {0xE0: 0xA0, 0xF0: 0x90}.get(first, 0x80)  # shorter ways to write it are none
    high = {0xED: 0x9F, 0xF4: 0x8F}.get(first, 0xBF)  # half characters; more than there are
    return size if low <= second <= high else 0
