"""How an update can end badly: a sentence for every code of mqwire.update, and for a rollback."""

from typing import Any

from mqhost.errors import BoardError, RefusedError, ToolError
from mqhost.offer import Offer
from mqwire import update as wire

SENTENCES = {
    wire.RECEIVING: "The board takes blocks.",
    wire.INSTALLED: "The board has installed the image.",
    wire.ALREADY_RUNNING: "The board already runs this image.",
    wire.MALFORMED: "The board cannot read the offer. Use the mqboard version that fits its "
    "firmware.",
    wire.WRONG_BOARD: "The image is for another board. Build for the board it names (--board).",
    wire.WRONG_MCU: "The image is for another chip. Build for the chip the board has.",
    wire.TOO_LARGE: "The image does not fit the board's slot. Remove modules from the manifest.",
    wire.BUSY: "The board is busy with another update. Wait for it, then try again.",
    wire.UNCONFIRMED: "The board has not confirmed the firmware it runs and keeps the other one to "
    "fall back to. Try again when it is confirmed.",
    wire.FLASH_ERROR: "The board could not write its flash. Try again; if it stays so, the flash "
    "is worn out.",
    wire.IMAGE_HASH: "What arrived is not the image that was offered: its SHA-256 differs. Try "
    "again.",
    wire.IMAGE_INVALID: "The board's bootloader check rejects the image. Build it again.",
    wire.CANCELLED: "The update was cancelled.",
    wire.NO_MEMORY: "The board has not enough memory for an update. Restart it, or use safe mode.",
}


class RolledBack(BoardError):
    """The board tried the new image and went back to the old one."""


def failure(code: int, body: bytes) -> ToolError:
    """The error for a refused or failed code: its sentence, and what the board adds."""
    detail = body.decode("utf-8", "replace").strip()
    text = SENTENCES.get(code, f"The board answers with code {code}, which is not known here.")
    text += f" ({detail})" if detail else ""
    return RefusedError(text) if wire.REFUSED <= code < wire.FAILED else BoardError(text)


def rolled_back(offer: Offer, status: dict[str, Any]) -> RolledBack:
    """The error for a board that came back with another image than the new one."""
    failed = status.get("failed")
    known = isinstance(failed, dict) and failed.get("image") == offer.sha256
    reason = str(failed.get("reason")) if known and isinstance(failed, dict) else "not known"
    return RolledBack(
        f"Rolled back: {offer.version} was started but not confirmed (reason: {reason:.200}). The "
        f"board runs {status.get('version')!s:.60} again."
    )


def failed_image(status: dict[str, Any]) -> Any:
    """The hash of the image that failed last, as the board remembers it."""
    failed = status.get("failed")
    return failed.get("image") if isinstance(failed, dict) else None
