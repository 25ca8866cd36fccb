"""Carries out `ota`: finds the image, opens a session, pushes, prints how it goes and went.

It prints to the console it is given and raises ToolError; the edge that called it prints that.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from mqhost.cli.edge import to_stderr
from mqhost.cli.update.report import OtaEvents, OtaLines, OtaReport, interrupted_state
from mqhost.errors import ToolError, UsageError
from mqhost.link.session import Session
from mqhost.link.settings import Settings
from mqhost.paths import BUILD
from mqhost.signing.offer import Offer, load_image
from mqhost.update.push import PATIENCE, UpdateResult, push
from mqhost.update.store import ImageStore, is_digits, remember
from mqhost.update.waiting import when_online

Debug = Callable[[str], None] | None


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
    wait: float = 0.0,
    as_json: bool = False,
    debug: Debug = None,
) -> UpdateResult:
    """Push an app image and stay until the board has confirmed it; print how it went, with
    `as_json` as one JSON object a line (see OtaEvents).

    `image` is an app.bin with its image.json beside it, or the first digits of the SHA-256 of one
    in the local image store; None means the build of `board`, and with `board` None that of the
    board which the device says it is. `base` is the app.bin that the board runs, where it is not in
    the store: only differences to it are sent, unless `full`. `wait`: seconds that a board which is
    away is waited for.
    """
    report: OtaReport = OtaEvents(console) if as_json else OtaLines(console)
    begun: list[Offer] = []
    try:
        with Session(settings, debug=debug, note=to_stderr) as session, report:
            # What cannot be pushed is told before anybody waits.
            path = image_path(image) if image else app_path(board) if board else None
            named = load_image(path) if path else None

            def run() -> UpdateResult:
                offer, app = named or load_image(app_path(_board_of(session)))
                remember(app, offer)
                report.start(session.prefix, offer)
                begun.append(offer)
                return push(
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

            note = _note(named[0]) if named else {}
            try:
                result = when_online(session, run, wait, report.waits, **note) if wait else run()
            except KeyboardInterrupt:
                report.interrupted(_left(session, report.stage, begun))
                raise
    except ToolError as error:
        report.failed(error)
        raise
    report.done(session.prefix, result)
    return result


def _note(offer: Offer) -> dict[str, Any]:
    """Return what the note for a board that sleeps says of the image."""
    return {"image": offer.sha256, "version": offer.version, "size": offer.size}


def _left(session: Session, stage: str, begun: list[Offer]) -> str:
    """Say what Ctrl-C leaves behind."""
    if not begun:
        return f"Interrupted. Nothing was sent to {session.prefix}, and nothing waits for it."
    running = str((session.last_status or {}).get("version", "what it ran"))
    return interrupted_state(session.prefix, stage, running, begun[-1].version)


def app_path(board: Any) -> Path:
    """Return where builds leave the app image of `board`, a name that may come from a device."""
    if not isinstance(board, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", board):
        raise UsageError(
            f"{board!r:.40} is no board's name. Say which image to push: --board or --image."
        )
    return BUILD / board / "app.bin"


def image_path(image: Path) -> Path:
    """Return `image`, or the app.bin in the image store whose hash begins with it."""
    if image.exists() or not is_digits(str(image)):
        return image
    return ImageStore().find(str(image))


def _read_base(path: Path) -> bytes:
    try:
        return image_path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"The base {path} cannot be read: {error.strerror}.") from error


def _board_of(session: Session) -> Any:
    """Return the board that the device says it is."""
    return session.request_json("info").get("board")
