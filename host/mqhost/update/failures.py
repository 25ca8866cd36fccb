"""Puts into sentences how an update can end badly: every code of mqwire.update, and a rollback.

Every error that is made here has the code as its attribute `code`, for scripts.
"""

from typing import Any, TypeVar

from mqhost.errors import BoardError, RefusedError, ToolError
from mqwire import update as wire

SENTENCES = {
    wire.RECEIVING: "The board takes blocks.",
    wire.INSTALLED: "The board has installed the image.",
    wire.ALREADY_RUNNING: "The board already runs this image.",
    wire.COMPARING: "The board compares what it has with the image.",
    wire.VERIFYING: "The board checks the whole image.",
    wire.MALFORMED: "The board cannot read the offer. Use the mqboard version that fits its "
    "firmware.",
    wire.WRONG_BOARD: "The image is for another board. Build for the board it names (--board).",
    wire.WRONG_MCU: "The image is for another chip. Build for the chip the board has.",
    wire.TOO_LARGE: "The image does not fit the board's slot. Remove modules from the manifest.",
    wire.BUSY: "The board is busy with another update. Wait for it, then try again.",
    wire.UNCONFIRMED: "The board has not confirmed the firmware it runs and keeps the other one to "
    "fall back to. Try again when it is confirmed.",
    wire.BAD_SIGNATURE: "The board takes signed firmware only; this image is not signed, or not "
    "rightly. Sign it (mqboard sign) or build it again.",
    wire.UNKNOWN_KEY: "The board does not know the key that the image is signed with. Sign it with "
    "a key that the board knows.",
    wire.TOO_OLD: "The image is older than what the board has confirmed before. Build it from a "
    "newer commit, or set update.allow_downgrade in the board's configuration.",
    wire.FAILED_BEFORE: "The board has tried this very image and gone back. Push a better one, or "
    "this one again with --retry-failed.",
    wire.WRONG_BASE: "The image was sent as a difference to another one than the board runs. Try "
    "again.",
    wire.FLASH_ERROR: "The board could not write its flash. Try again; if it stays so, the flash "
    "is worn out.",
    wire.IMAGE_HASH: "What arrived is not the image that was offered: its SHA-256 differs. Try "
    "again.",
    wire.IMAGE_INVALID: "The board's bootloader check rejects the image. Build it again.",
    wire.CANCELLED: "The update was cancelled.",
    wire.NO_MEMORY: "The board has not enough memory for an update. Restart it, or use safe mode.",
    wire.NO_NETWORK: "The new firmware did not get onto a network.",
    wire.NO_BROKER: "The new firmware was on a network, but did not reach the broker.",
    wire.UNREACHABLE: "The new firmware was on the broker, but commands did not reach it.",
    wire.UNHEALTHY: "The new firmware did not become healthy.",
    wire.WATCHDOG: "The new firmware stopped responding: the watchdog reset it.",
    wire.CRASH: "The new firmware crashed.",
    wire.POWER_LOST: "Power was lost before the new firmware was confirmed. Push it again.",
}


class RolledBack(BoardError):
    """Raised when the board tried the new image and went back to the old one."""


_Error = TypeVar("_Error", bound=ToolError)


def coded(error: _Error, code: int | None) -> _Error:
    """Return `error` with the code of mqwire.update that it is about."""
    error.code = code
    return error


def failure(code: int, body: bytes) -> ToolError:
    """Make the error for a refused or failed code: its sentence, and what the board adds."""
    detail = body.decode("utf-8", "replace").strip()
    text = SENTENCES.get(code, f"The board answers with code {code}, which is not known here.")
    text += f" ({detail})" if detail else ""
    kind = RefusedError if wire.REFUSED <= code < wire.FAILED else BoardError
    return coded(kind(text), code)


def rolled_back(image: str, version: str, status: dict[str, Any]) -> RolledBack:
    """Make the error for a board that came back with another image than the new one."""
    failed = status.get("failed")
    known = isinstance(failed, dict) and failed.get("image") == image
    error = RolledBack(
        f"Rolled back: {version} was started but not confirmed. "
        f"{why(failed) if known else 'Why is not known.'} "
        f"The board runs {status.get('version')!s:.60} again."
    )
    code = failed.get("code") if known and isinstance(failed, dict) else None
    return coded(error, code if isinstance(code, int) else None)


def why(failed: Any) -> str:
    """Say in sentences what a board tells of its last failed update, `failed` of its status."""
    failed = failed if isinstance(failed, dict) else {}
    code = failed.get("code")  # may be anything, and a list is no key
    sentence = SENTENCES.get(code if isinstance(code, int) else -1, "It gave up.")
    return f"{sentence} (It says: {failed.get('reason')!s:.200}.)"


def failed_image(status: dict[str, Any]) -> Any:
    """Return the hash of the image that failed last, as the board remembers it."""
    failed = status.get("failed")
    return failed.get("image") if isinstance(failed, dict) else None
