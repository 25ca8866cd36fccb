"""Pushes an app image to a board and stays until it runs, confirmed, or is known to have failed.

`push` looks whether the image is for this board, transfers it (see transfer.py), and then only the
board's own status counts: the new image, confirmed, or the old one back.
"""

import hashlib
import time
from dataclasses import dataclass
from typing import Any

import mqwire
from mqhost.errors import RefusedError, SilentBoardError, UsageError
from mqhost.link.session import Session, Status
from mqhost.progress import Progress, silent
from mqhost.signing.offer import Offer
from mqhost.update.confirmation import time_to_confirm, wait_confirmed
from mqhost.update.failures import rolled_back
from mqhost.update.preflight import check_failed_before, check_key, check_secure_boot
from mqhost.update.store import ImageStore
from mqhost.update.transfer import SETTLE, Transfer, differs
from mqwire import update as wire
from mqwire.flash import CONFIRMED_STATES

PATIENCE = 120.0  # seconds without any progress until the transfer is given up


@dataclass(frozen=True)
class UpdateResult:
    """What an update did. `already`: the image was running before, nothing was sent.

    `bytes_sent` counts the MQTT payloads of offers and blocks; `transfer_seconds` is the time to
    the last block, `seconds` that to the confirmation; `offers` counts offers (1 without trouble).
    `base`: the SHA-256 of the image to which blocks were sent as differences, "" without one;
    `bytes_saved` is what that made less of them.
    """

    old_version: str
    new_version: str
    slot: str
    already: bool = False
    bytes_sent: int = 0
    seconds: float = 0.0
    transfer_seconds: float = 0.0
    blocks_sent: int = 0
    blocks_total: int = 0
    offers: int = 0
    base: str = ""
    bytes_saved: int = 0


def push(
    session: Session,
    offer: Offer,
    app: bytes,
    *,
    force: bool = False,
    retry_failed: bool = False,
    base: bytes | None = None,
    full: bool = False,
    patience: float = PATIENCE,
    confirm_timeout: float | None = None,
    progress: Progress = silent,
) -> UpdateResult:
    """Make the board of `session` run `app`, which `offer` describes.

    `force` leaves it to the board whether the image is for it, and its signatures ones it knows;
    `retry_failed` also pushes what it has tried and gone back from. Blocks are sent as differences
    to what the board runs, which `base` must be, or which is in the local store; `full` forbids it.
    `confirm_timeout`: seconds for restart and confirmation; None: as long as the board may take.
    Raises UsageError (wrong image or base), RefusedError, BoardError (RolledBack among them),
    SilentBoardError or BrokerError.
    """
    start = time.monotonic()
    if full and base is not None:
        raise UsageError("A base is for differences, and --full forbids them: leave one out.")
    if not offer.matches(app):
        raise UsageError("The offer describes another image than the one given.")
    before = session.request_json("info")
    session.hold_to(before.get("id"))
    confirm_timeout = confirm_timeout or time_to_confirm(before)
    if not force:
        check_board(offer, before, session.prefix)
    running = before.get("image") == offer.sha256
    if not running and before.get("slot_state") not in CONFIRMED_STATES:
        before = _wait_settled(session, before, confirm_timeout, progress)
    old_version = str(before.get("version"))
    if running and before.get("slot_state") in CONFIRMED_STATES:
        return UpdateResult(old_version, offer.version, str(before.get("slot")), already=True)
    runs = find_base(str(before.get("image")), base)
    known = None if full else runs
    transfer = Transfer(session, offer, app, before, patience, progress, retry_failed, known)
    if not running:
        if not force:
            check_key(offer, before, session.prefix)
            check_secure_boot(app, runs, session.prefix)
        if not retry_failed:
            check_failed_before(offer, before, session.prefix)
        try:
            transfer.run()
        except RefusedError as error:
            status = session.last_status or {}
            restarted = differs(status.get("boot_id"), before.get("boot_id"))
            if error.code != wire.UNCONFIRMED or not restarted:
                raise
            # Into somebody else's update: from the start again, which waits until it is confirmed.
            return push(
                session,
                offer,
                app,
                force=force,
                retry_failed=retry_failed,
                base=base,
                full=full,
                patience=patience,
                confirm_timeout=confirm_timeout,
                progress=progress,
            )
    transferred = time.monotonic()
    status = wait_confirmed(
        session,
        offer.sha256,
        offer.version,
        transfer.boot_id,
        confirm_timeout,
        lambda stage: progress(stage, offer.count, offer.count),
    )
    return UpdateResult(
        old_version=old_version,
        new_version=str(status.get("version")),
        slot=str(status.get("slot")),
        bytes_sent=transfer.bytes_sent,
        seconds=time.monotonic() - start,
        transfer_seconds=transferred - start,
        blocks_sent=transfer.blocks_sent,
        blocks_total=offer.count,
        offers=transfer.offers,
        base=hashlib.sha256(transfer.base).hexdigest() if transfer.base else "",
        bytes_saved=transfer.encoder.saved,
    )


def _wait_settled(
    session: Session, before: Status, timeout: float, progress: Progress
) -> dict[str, Any]:
    """Wait until the board has confirmed what it runs; return its `info` then.

    Until then the other slot is its way back, and it lets nobody write there. Raises RolledBack
    when it takes that way.
    """
    progress(SETTLE, 0, 0)
    image = before.get("image")
    # The status may still be that of an earlier boot: then it tells nothing.
    old = (session.last_status or {}).get("boot_id")

    def news(status: Status) -> bool:
        boot_id = status.get("boot_id")
        confirmed = status.get("slot_state") in CONFIRMED_STATES
        another = differs(boot_id, before.get("boot_id"))
        return status.get("state") == mqwire.ONLINE and (boot_id != old if another else confirmed)

    status = session.wait_status(news, timeout)
    if status is None:
        raise SilentBoardError(
            f"{session.prefix} has not confirmed the firmware it runs, "
            f"{before.get('version')!s:.60}, within {timeout:g} s, and takes no other until then. "
            "Nothing was sent. Run the same command again when it has."
        )
    if status.get("image") != image:
        raise rolled_back(str(image), f"{before.get('version')!s:.60}", status)
    return session.request_json("info")


def find_base(running: str, given: bytes | None) -> bytes | None:
    """Return the image with the hash `running`: `given`, or of the local store, or None.

    Raises UsageError if `given` is another image.
    """
    if given is not None:
        found = hashlib.sha256(given).hexdigest()
        if found == running:
            return given
        raise UsageError(
            f"The base has SHA-256 {found[:16]}…; the board runs {running[:16]}…. Nothing was "
            "sent. Name the image that it runs, or leave --base out."
        )
    stored = ImageStore().get(running)
    return stored.app if stored else None


def check_board(offer: Offer, info: dict[str, Any], prefix: str) -> None:
    """Raise UsageError if `info` says that the board is another than `offer` is for."""
    for key, word in (("board", "board"), ("mcu", "chip")):
        wanted, found = getattr(offer, key), info.get(key)
        if found != wanted:
            raise UsageError(
                f"The image is for {word} {wanted}; {prefix} is {word} {found!s:.40}. Nothing was "
                f"sent. Push the right image, or see whether the prefix is right."
            )
