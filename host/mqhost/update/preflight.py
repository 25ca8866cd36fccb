"""Checks before anything is sent whether a board will take an image, by what it says of itself.

The board decides, but a person wants to know beforehand.
"""

from collections.abc import Mapping
from typing import Any

from mqhost.errors import RefusedError
from mqhost.flash.sigblock import signed_by
from mqhost.paths import TASK
from mqhost.signing.offer import Offer
from mqhost.update.failures import coded, why
from mqwire import update as wire

REQUIRED = "required"  # what a board says in `signing` that takes only signed offers


def check_key(offer: Offer, info: Mapping[str, Any], prefix: str) -> None:
    """Raise RefusedError if the board, which says `info` of itself, does not take the signature."""
    trusted = info.get("keys")
    if info.get("signing") != REQUIRED or not isinstance(trusted, list):
        return
    names = ", ".join(f"{name!s:.16}" for name in trusted)
    if offer.key not in trusted:
        needed = f"is signed with key {offer.key}" if offer.key else "is not signed"
        raise coded(
            RefusedError(
                f"The image {needed}; {prefix} takes only what is signed with {names}. Nothing "
                f"was sent. Build it where one of these keys is ({TASK} keys shows yours)."
            ),
            wire.UNKNOWN_KEY,
        )
    if not offer.signature:
        raise coded(
            RefusedError(
                f"The image is not signed: there is no image.sig beside it. {prefix} takes only "
                f"what is signed, with {names}. Nothing was sent. Sign it with key {offer.key}: "
                "mqboard sign."
            ),
            wire.BAD_SIGNATURE,
        )


def check_secure_boot(app: bytes, running: bytes | None, prefix: str) -> None:
    """Raise RefusedError if `running`, the image that the board runs, is signed for secure boot and
    `app` is not, or with another key: the chip would not start it. None: it is not known here; then
    the board finds out when all is sent, and goes on with what it runs.
    """
    wanted = signed_by(running) if running else ""
    found = signed_by(app) if wanted else ""
    if found != wanted:
        what = f"with key {found[:16]}" if found else "not at all"
        raise coded(
            RefusedError(
                f"{prefix} runs an image that is signed for secure boot, with key {wanted[:16]}; "
                f"this one is signed {what}. Its chip would not start it. Nothing was sent. Build "
                "it with [secure] and the board's key (docs/secure-boot.md)."
            ),
            wire.IMAGE_INVALID,
        )


def check_failed_before(offer: Offer, info: Mapping[str, Any], prefix: str) -> None:
    """Raise RefusedError if the board says that it tried this very image and went back."""
    failed = info.get("failed")
    if not isinstance(failed, dict) or failed.get("image") != offer.sha256:
        return
    if failed.get("code") != wire.POWER_LOST:  # says nothing about the image
        raise coded(
            RefusedError(
                f"{prefix} has tried this very image and gone back. {why(failed)} Nothing was "
                "sent. Push a better one, or this one again with --retry-failed."
            ),
            wire.FAILED_BEFORE,
        )
