"""Fakes a board with the firmware of protocol 1, from before boards answered offers at once.

What it says and takes stands here in numbers: nothing of it changes with mqwire. It compares its
slot before it answers an offer, and does nothing else meanwhile; every offer makes it compare anew;
while it checks the whole image it is busy for everybody. Commands that it does not know it refuses.
"""

import json
import struct
import threading
import time

from fakeboard import FakeBoard

import mqwire

MALFORMED, BUSY, UNCONFIRMED = 16, 20, 21
CODES = {0, 1, 2, *range(16, 27), *range(32, 37)}
_CHECKED = "checked"  # what the thread that checks puts among the messages
_FACTS = {
    "protocol": 1,
    "board": "sim",
    "mcu": "esp32",
    "version": "0.1.0",
    "commit": "379f499",
    "built": 1795888175,
    "slot": "ota_0",
    "slot_state": "valid",
    "mode": "normal",
    "reset_cause": "power-on",
    "signing": "none",
    "failed": None,
}
COMMANDS = {"eval", "info", "update"}  # and others, which no test asks it for


class OldBoard(FakeBoard):
    """Comparing takes `scan_seconds`, checking `check_seconds`; `scans` and `busy` count."""

    def __init__(self, port, prefix="esp32/test", **options):
        super().__init__(port, prefix, **options)
        self.facts = dict(_FACTS)
        self.scan_seconds = self.check_seconds = 0.0
        self.scans = self.busy = 0
        self._checking = None
        self._offers = set()  # the ids of update commands

    def _command(self, topic, payload):
        if topic == _CHECKED:
            update, self._checking = self._checking, None
            self._update = update
            super()._complete()
            return
        command, ident, _ = mqwire.parse_command_topic(self.prefix, topic)
        if command in COMMANDS:
            super()._command(topic, payload)
        else:
            self.error(ident, f"Command '{command}' not supported")

    def _send(self, topic, payload, qos=1):
        if topic.rpartition("/")[2] in self._offers:
            assert payload[2] in CODES, "that is no code of protocol 1"
        super()._send(topic, payload, qos)

    def _do_update(self, ident, body):
        self._offers.add(ident)
        code = self._first_look(body)
        if code is not None:
            self.busy += code == BUSY
            self._finish(ident, code, b"as of old")
            return
        self.scans += 1
        time.sleep(self.scan_seconds)
        super()._do_update(ident, body)

    def _first_look(self, body):
        """Return the code with which it refuses before it compares anything, or None."""
        if self._checking:
            return BUSY
        parts = []
        while body:
            (size,) = struct.unpack_from(">H", body)
            parts.append(body[2 : 2 + size])
            body = body[2 + size :]
        if len(parts) != 3:
            return MALFORMED
        topic = json.loads(parts[2]).get("topic")
        if len(topic) > 200 or not all(32 <= byte < 127 for byte in topic.encode()):
            return MALFORMED
        offer = json.loads(parts[0])
        if offer["format"] != 1 or offer["block_size"] != 4096:
            return MALFORMED
        if len(parts[1]) not in (0, 384):
            return MALFORMED
        self.options = json.loads(parts[2])
        if self.facts["slot_state"] not in ("valid", "undefined"):
            return UNCONFIRMED
        return self._judge(offer)

    def _complete(self):
        """Say that nothing is needed any more, and check, which takes a while."""
        self._report()
        self._checking, self._update = self._update, None
        timer = threading.Timer(self.check_seconds, self._work.put, args=[(_CHECKED, b"", False)])
        timer.daemon = True
        timer.start()
