"""Checks images that somebody uploads, before anything of them is kept: the offer, its signature,
and the format of the app image.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path

from mqhost.artifacts.bundle import APP, OFFER, SIGNATURE, read_bundle
from mqhost.errors import UsageError
from mqhost.flash.espimage import ImageError, verify
from mqhost.fleet.store.imagetable import LARGEST
from mqhost.signing.offer import Offer
from mqhost.signing.sign import check_signature

_ZIP = b"PK\x03\x04"
MOST = 2 * LARGEST + (1 << 20)  # bytes of an upload: a bundle has the flash image, too


def checked(files: Mapping[str, bytes]) -> tuple[Offer, bytes]:
    """Return the image in `files`, which are by name app.bin, image.json and image.sig as a build
    makes them, or one bundle of CI. Raises UsageError, BundleError, ToolError for what is none.
    """
    for data in files.values():
        if data.startswith(_ZIP):
            return _bundled(data)
    for name in (APP, OFFER):
        if name not in files:
            raise UsageError(
                f"There is no {name} among the files. An image is app.bin with its image.json and "
                "image.sig, as a build makes them, or a bundle of CI."
            )
    offer = Offer.from_bytes(files[OFFER], OFFER).signed(files.get(SIGNATURE, b""))
    check_signature(files[OFFER], files.get(SIGNATURE))
    if not offer.matches(files[APP]):
        raise UsageError(f"{APP} is not what {OFFER} describes. Nothing was kept.")
    try:
        verify(files[APP])
    except ImageError as error:
        raise UsageError(f"{error} Nothing was kept.") from error
    return _signed(offer), files[APP]


def _bundled(data: bytes) -> tuple[Offer, bytes]:
    with tempfile.TemporaryDirectory(prefix="mqboard-upload-") as folder:
        path = Path(folder) / "bundle.zip"
        path.write_bytes(data)
        bundle = read_bundle(path, None)
    return _signed(bundle.offer.signed(bundle.signature or b"")), bundle.app


def _signed(offer: Offer) -> Offer:
    """Return `offer`, if it has the signature that it was made for."""
    if offer.key and not offer.signature:
        raise UsageError(
            f"The offer names key {offer.key}, and its signature, {SIGNATURE}, is missing: no "
            "board would take it. Sign it with mqboard sign. Nothing was kept."
        )
    return offer
