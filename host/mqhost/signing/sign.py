"""Signs what a build left, and checks signatures of what was downloaded.

A build that has the private key signs by itself. Where the key is kept away from builds (CI), they
freeze the public keys and leave image.sig out; `sign` makes it later, over the bytes of image.json.
`check_signature` is for what was downloaded; what is about to be pushed is looked at in
update/preflight.py.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from mqhost.errors import ToolError, UsageError
from mqhost.files import replace_file
from mqhost.signing import keys
from mqhost.signing.offer import Offer, load_image

_USES = ("current", "next")


def sign(app_path: Path) -> tuple[Offer, bytes]:
    """Write the image.sig of the image `app_path`, an app.bin with its image.json beside it.

    Returns the signed offer and the app image.
    """
    offer, app = load_image(app_path)
    key = keys.find_signing_key()
    if offer.key != key.public.id:
        wanted = f"by key {offer.key}" if offer.key else "not at all"
        raise UsageError(
            f"{app_path} was built to be signed {wanted}; the signing key at hand is "
            f"{key.public.id} ({key.where}). Build with that one first in {keys.PUBLIC_KEYS}, or "
            "sign with the other."
        )
    offer = offer.signed(key.sign(offer.to_bytes()))
    replace_file(app_path.with_name("image.sig"), offer.signature)
    return offer, app


def check_signature(data: bytes, signature: bytes | None) -> None:
    """Raise ToolError if `signature` is wrong over `data`, the bytes of image.json.

    By a key that this machine does not know it cannot be checked; nor is one missing here: whether
    that is good enough is up to the board.
    """
    offer = Offer.from_bytes(data)
    known = {key.id: key for key in keys.known_keys()}
    if signature and offer.key in known and not known[offer.key].signed(data, signature):
        raise ToolError(
            f"image.sig is not the signature of key {offer.key}, which image.json names: one of "
            "them was changed. Nothing was kept."
        )


def manage_keys(
    make_next: bool = False, rotate: bool = False, public_only: bool = False, as_json: bool = False
) -> str:
    """Make the next key or let it take over, if asked to; then the keys that builds here use, for
    people, in JSON, or only the public ones in PEM. Makes the development key when there is none.
    """
    used = keys.build_keys()
    if rotate:
        keys.rotate()
    if make_next:
        keys.make_key(keys.NEXT)
    if rotate or make_next:
        used = replace(keys.build_keys(), made=used.made)
    if as_json:
        return json.dumps(_record(used), indent=2)
    if public_only:
        return "".join(key.pem() for key in used.public).rstrip()
    lines = [f"made the development key {used.made}"] if used.made else []
    place = used.signing.where if used.signing else "elsewhere"
    lines.append(f"builds sign with key  {used.name}  ({place})")
    for key, word in zip(used.public, _USES, strict=False):
        lines.append(f"firmware knows key    {key.id}  ({word})")
    if used.signing:
        lines.append("Keep the private keys: boards take nothing that is not signed with them.")
    return "\n".join(lines)


def _record(used: keys.BuildKeys) -> dict[str, Any]:
    """Return the same for scripts; no private key is in it."""
    return {
        "signs": used.name,
        "where": str(used.signing.where) if used.signing else None,
        "made": str(used.made) if used.made else None,
        "public": [
            {"key": key.id, "use": word, "pem": key.pem()}
            for key, word in zip(used.public, _USES, strict=False)
        ],
    }
