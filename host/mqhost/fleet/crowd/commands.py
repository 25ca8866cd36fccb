"""Answers the commands of a board of a crowd: puts their parts together, does each once, and
remembers what it said.
"""

import ast
import json
from collections import deque
from typing import Any, Protocol

import mqwire
from mqhost.fleet.crowd.figures import Figures
from mqhost.fleet.crowd.receiver import Receiver

_REMEMBERED = 8  # ids of commands
_PARTIAL = 2  # commands whose parts are still coming


class Host(Protocol):
    """The board whose commands they are."""

    prefix: str
    boot_id: str
    figures: Figures
    receiver: Receiver

    def publish(self, topic: str, payload: bytes, qos: int, retain: bool = False) -> None:
        """Send a message."""

    def info(self) -> dict[str, Any]:
        """Return what `info` says."""

    def restart(self, reason: str) -> None:
        """Restart, and say why before."""

    def heard(self, ident: str) -> None:
        """Take that a ping has come."""


class Commands:
    """The commands of `host`."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._answers: deque[tuple[str, str, bytes]] = deque(maxlen=_REMEMBERED)
        self._parts: dict[str, tuple[int, bytes]] = {}

    def reset(self) -> None:
        """Forget what is in RAM: the board has restarted."""
        self._answers.clear()
        self._parts.clear()

    def take(self, command: str, ident: str, payload: bytes) -> None:
        """Take a message of a command; one that comes again is answered, and not done again."""
        for known, topic, answer in self._answers:
            if known == ident:
                if topic:
                    self._host.publish(topic, answer, 1)
                return
        seq, last = mqwire.parse_header(payload)
        expected, body = self._parts.get(ident, (0, b""))
        if seq != expected:
            return
        body += payload[mqwire.HEADER_SIZE :]
        if not last:
            if ident not in self._parts and len(self._parts) == _PARTIAL:
                self._parts.pop(next(iter(self._parts)))
            self._parts[ident] = seq + 1, body
            return
        self._parts.pop(ident, None)
        self._answers.append((ident, "", b""))
        self._host.figures.commands += command != "ping"  # which is mostly its own
        self._execute(command, ident, body)

    def reply(self, ident: str, seq: int, data: bytes, last: bool, qos: int = 1) -> None:
        """Send one message of a reply."""
        payload = mqwire.header(seq, last) + data
        topic = mqwire.reply_topic(self._host.prefix, ident)
        if last:
            self._remember(ident, topic, payload)
        self._host.publish(topic, payload, qos)

    def _execute(self, command: str, ident: str, body: bytes) -> None:
        host = self._host
        if command == "update":
            host.receiver.offer(ident, body)
        elif command == "ping":
            self.reply(ident, 0, b"OK", True)
            host.heard(ident)
        elif command == "info":
            self.reply(ident, 0, json.dumps(host.info()).encode(), True)
        elif command == "running":
            self.reply(ident, 0, b'{"running": []}', True)
        elif command == "cancel":
            host.receiver.cancel()
            self.reply(ident, 0, b"OK", True)
        elif command == "reset":
            self.reply(ident, 0, b"OK", True)
            host.restart("reset")
        elif command == "eval":
            self._evaluate(ident, body.decode("utf-8", "replace"))
        elif command == "exec":
            self._run(ident, body)
        elif command not in ("credit", "mounted"):
            self._error(ident, f"Command '{command}' not supported")

    def _evaluate(self, ident: str, source: str) -> None:
        try:
            self.reply(ident, 0, repr(_value(source)).encode(), True)
        except ValueError as error:
            self._error(ident, str(error))

    def _run(self, ident: str, body: bytes) -> None:
        """Answer an `exec`: a beginning, what is printed, how it ended."""
        head, _, source = body.partition(b"\n")
        told: dict[str, str] = {}
        parts = [json.dumps({"boot_id": self._host.boot_id}).encode()]
        try:
            value = _value(source.decode("utf-8", "replace"))
            if json.loads(head).get("show"):
                parts.append(f"{value!r}\n".encode())
        except (ValueError, AttributeError) as error:
            told["error"] = str(error)
        for seq, part in enumerate(parts):
            self.reply(ident, seq, part, False)
        self.reply(ident, len(parts), json.dumps(told).encode(), True)

    def _error(self, ident: str, text: str) -> None:
        topic = mqwire.error_topic(self._host.prefix, ident)
        self._remember(ident, topic, text.encode())
        self._host.publish(topic, text.encode(), 1)

    def _remember(self, ident: str, topic: str, payload: bytes) -> None:
        for at, (known, _, _) in enumerate(self._answers):
            if known == ident:
                self._answers[at] = ident, topic, payload


def _value(source: str) -> Any:
    """Return the value of a constant; ValueError for all other code."""
    try:
        return ast.literal_eval(source.strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError) as error:
        raise ValueError(
            "NotImplementedError: a board of a crowd runs no code; it knows constants only, as 42"
        ) from error
