"""Carries out the commands: opens a session, makes the request, prints the answer.

These are functions behind `mqboard …` and behind the Invoke tasks of the same name. They print
results to the console they are given and raise ToolError; the edge that called them prints that.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

import mqwire
from mqhost.cli.ota_report import OtaEvents, OtaLines, OtaReport, interrupted_state
from mqhost.cli.printing import Output, clean, json_text, say
from mqhost.errors import ToolError, UsageError
from mqhost.link.roster import offline_text
from mqhost.link.session import Session
from mqhost.link.settings import Settings
from mqhost.manage.configuration import state_text
from mqhost.manage.modules import disabled_text
from mqhost.paths import BUILD, need_checkout
from mqhost.signing.offer import load_image
from mqhost.update.push import PATIENCE, UpdateResult, push
from mqhost.update.store import ImageStore, remember

Debug = Callable[[str], None] | None

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
    "confirm_s": "confirms in",
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


def print_eval(session: Session, source: bytes, output: Output) -> None:
    """Evaluate `source` on the board and write to `output` what comes back, as it comes."""
    ending = b"\n"
    try:
        for part in session.stream("eval", source):
            output.write(part)
            output.flush()
            ending = part[-1:] or ending
    finally:
        if ending != b"\n":
            output.write(b"\n")
            output.flush()


def run_ota(
    settings: Settings,
    board: str | None,
    image: Path | None,
    console: Console,
    *,
    force: bool = False,
    retry_failed: bool = False,
    base: Path | None = None,
    full: bool = False,
    patience: float = PATIENCE,
    confirm_timeout: float | None = None,
    as_json: bool = False,
    debug: Debug = None,
) -> UpdateResult:
    """Push an app image and stay until the board has confirmed it; print how it went, with
    `as_json` as one JSON object a line (see OtaEvents).

    `image` is an app.bin with its image.json beside it, or the first digits of the SHA-256 of one
    in the local image store; None means the build of `board`, and with `board` None that of the
    board which the device says it is. `base` is the app.bin that the board runs, where it is not in
    the store: only differences to it are sent, unless `full`.
    """
    report: OtaReport = OtaEvents(console) if as_json else OtaLines(console)
    try:
        if not image:
            need_checkout("Without --image mqboard ota pushes what was built in")
        with Session(settings, debug=debug) as session, report:
            path = image_path(image) if image else app_path(board or _board_of(session))
            offer, app = load_image(path)
            remember(app, offer)
            report.start(session.prefix, offer)
            try:
                result = push(
                    session,
                    offer,
                    app,
                    force=force,
                    retry_failed=retry_failed,
                    base=_read_base(base) if base else None,
                    full=full,
                    patience=patience,
                    confirm_timeout=confirm_timeout,
                    progress=report.show,
                )
            except KeyboardInterrupt:
                running = str((session.last_status or {}).get("version", "what it ran"))
                report.interrupted(
                    interrupted_state(session.prefix, report.stage, running, offer.version)
                )
                raise
    except ToolError as error:
        report.failed(error)
        raise
    report.done(session.prefix, result)
    return result


def app_path(board: Any) -> Path:
    """Return where builds leave the app image of `board`, a name that may come from a device."""
    if not isinstance(board, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", board):
        raise UsageError(
            f"{board!r:.40} is no board's name. Say which image to push: --board or --image."
        )
    return BUILD / board / "app.bin"


def image_path(image: Path) -> Path:
    """Return `image`, or the app.bin in the image store whose hash begins with it."""
    if image.exists() or not re.fullmatch("[0-9A-Fa-f]{6,64}", str(image)):
        return image
    return ImageStore().find(str(image))


def print_facts(console: Console, facts: Mapping[str, Any], as_json: bool) -> None:
    """Print what a board says of itself: aligned lines, or the JSON object as it came."""
    if as_json:
        say(console, json_text(facts))
        return
    known = {key: _FACTS[key] for key in _FACTS if facts.get(key) is not None}
    others = {key: key for key in facts if key not in _FACTS and facts[key] is not None}
    for key, word in (known | others).items():
        say(console, f"{clean(word):13} {_fact(key, facts[key])}")


def _read_base(path: Path) -> bytes:
    try:
        return image_path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"The base {path} cannot be read: {error.strerror}.") from error


def _board_of(session: Session) -> Any:
    """Return the board that the device says it is."""
    return session.request_json("info").get("board")


def absence(session: Session) -> str:
    """Return the sentence for a board that is not there by its status; "" if it is."""
    status = session.status()
    if status is None:
        return session.nobody()
    online = status.get("state") == mqwire.ONLINE
    return "" if online else f"{session.prefix} is {offline_text(status)}."


def _fact(key: str, value: Any) -> str:
    if key == "failed" and isinstance(value, dict):
        value = f"{value.get('version')} ({value.get('reason')})"
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
