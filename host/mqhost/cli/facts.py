"""Prints what boards say of themselves: facts in aligned lines, times in words, who is absent."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from rich.console import Console

from mqhost.cli.terminal.printing import clean, json_text, say
from mqhost.deploy.kept import state_text as app_text
from mqhost.link.session import Session
from mqhost.manage.configuration import state_text
from mqhost.manage.modules import disabled_text

# The facts of a board that everybody wants to see, in this order, and how they are called.
_FACTS = {
    "state": "state",
    "id": "id",
    "twin": "same prefix",
    "board": "board",
    "mcu": "mcu",
    "version": "version",
    "commit": "commit",
    "built": "built",
    "image": "image",
    "slot": "slot",
    "slot_state": "slot state",
    "confirm_s": "confirm limit",
    "mode": "mode",
    "reset_cause": "reset cause",
    "micropython": "MicroPython",
    "heap_free": "free heap",
    "heap_used": "used heap",
    "uptime_s": "uptime",
    "clock": "clock",
    "address": "address",
    "rssi": "signal",
    "refused": "given up",
    "signing": "signatures",
    "keys": "keys",
    "storage": "storage",
    "failed": "failed update",
    "app": "application",
    "config": "configuration",
    "crashes": "crashes",
    "disabled": "disabled",
}
_UNITS = {
    "confirm_s": " s",
    "heap_free": " B",
    "heap_used": " B",
    "uptime_s": " s",
    "refused": " messages",
    "rssi": " dBm",
    "crashes": " to look at: mqboard crash",
}


def print_facts(console: Console, facts: Mapping[str, Any], as_json: bool) -> None:
    """Print what a board says of itself: aligned lines, or the JSON object as it came."""
    if as_json:
        say(console, json_text(facts))
        return
    known = {key: _FACTS[key] for key in _FACTS if facts.get(key) is not None}
    others = {key: key for key in facts if key not in _FACTS and facts[key] is not None}
    for key, word in (known | others).items():
        say(console, f"{clean(word):13} {_fact(key, facts[key])}")


def absence(session: Session) -> str:
    """Return the sentence for a board that is not there by its status; "" if it is."""
    session.status()
    return session.absence()


def _fact(key: str, value: Any) -> str:
    if key == "failed" and isinstance(value, dict):
        value = f"{value.get('version')} ({value.get('reason')})"
    elif key == "app":
        value = app_text(value)
    elif key == "config" and isinstance(value, dict):
        value = state_text(value)
    elif key == "disabled":
        value = disabled_text(value)
    elif key == "clock" and isinstance(value, dict):
        value = clock_text(value)
    elif key == "keys" and isinstance(value, list):
        value = ", ".join(map(str, value))
    elif key == "built":
        value = _moment(value)
    elif isinstance(value, int) and not isinstance(value, bool) and key in _UNITS:
        value = f"{value:,}{_UNITS[key]}"
    elif not isinstance(value, str):
        value = json_text(value, None)
    return clean(value)


def clock_text(said: dict[str, Any]) -> str:
    """Say what time a board has, and from where."""
    now = _moment(said.get("time"))
    trust = "trusted" if said.get("trusted") is True else "not trusted"
    return f"{now}, {trust} ({said.get('source')})"


def _moment(unix: Any) -> str:
    """Write out a Unix time; a board may say anything."""
    try:
        return f"{datetime.fromtimestamp(unix, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (TypeError, ValueError, OverflowError, OSError):
        return "no time"
