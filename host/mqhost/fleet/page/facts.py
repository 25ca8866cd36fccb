"""Words what a board says of itself, for its page: pairs of a name and a text."""

from collections.abc import Iterable, Mapping
from typing import Any

from mqhost.deploy.kept import state_text as app_text
from mqhost.fleet.page.templating import minus, moment, size, span
from mqhost.manage.configuration import state_text as config_text
from mqhost.manage.modules import disabled_text

Pair = tuple[str, str]
_LAST_TIME = 1 << 33  # no clock is right that says more


def firmware(said: Mapping[str, Any]) -> list[Pair]:
    """Return what it runs."""
    board, mcu = said.get("board"), said.get("mcu")
    return _told(
        ("Version", said.get("version")),
        ("Board", f"{board} ({mcu})" if board and mcu and board != mcu else board),
        ("Slot", _slot(said)),
        ("Image", str(said["image"])[:16] if said.get("image") else None),
        ("Commit", str(said["commit"])[:16] if said.get("commit") else None),
        ("Built", _built(said.get("built"))),
        ("Signatures", said.get("signing")),
        ("Application", app_text(said["app"]) if said.get("app") else None),
        ("Failed update", _failed(said.get("failed"))),
        ("MicroPython", said.get("micropython")),
    )


def condition(said: Mapping[str, Any]) -> list[Pair]:
    """Return how it is."""
    rssi, up = said.get("rssi"), said.get("uptime_s")
    return _told(
        ("Mode", said.get("mode")),
        ("Up for", span(up) if isinstance(up, int) else None),
        ("Reset cause", said.get("reset_cause")),
        ("Free heap", _bytes(said.get("heap_free"))),
        ("Used heap", _bytes(said.get("heap_used"))),
        ("Signal", f"{minus(rssi)} dBm" if isinstance(rssi, int) else None),
        ("Address", said.get("address")),
        ("Storage", said.get("storage")),
        ("Configuration", config_text(said.get("config"))),
        ("Disabled", disabled_text(said["disabled"]) if said.get("disabled") else None),
        ("Crashes", said.get("crashes")),
        ("Hardware id", said.get("id")),
        ("Same prefix", said.get("twin")),
        ("Gone because", said.get("reason")),
    )


def _told(*pairs: tuple[str, Any]) -> list[Pair]:
    return [(name, str(value)) for name, value in pairs if value not in (None, "")]


def _slot(said: Mapping[str, Any]) -> str | None:
    slot, state = said.get("slot"), said.get("slot_state")
    return f"{slot}, {state}" if slot and state else slot


def _built(value: Any) -> str | None:
    """Return the time of a build; None for what is none."""
    usable = isinstance(value, (int, float)) and 0 < value < _LAST_TIME
    return f"{moment(value)} UTC" if usable else None


def _failed(failed: Any) -> str | None:
    if not isinstance(failed, dict):
        return None
    return f"{failed.get('version')}: {failed.get('reason')}"


def _bytes(value: Any) -> str | None:
    return size(value) if isinstance(value, int) else None


def parents(path: str) -> Iterable[Pair]:
    """Yield the folders above a path of a board, the root first: what each is called, its path."""
    yield "/", "/"
    walked = ""
    for name in path.strip("/").split("/"):
        if name:
            walked += f"/{name}"
            yield name, walked
