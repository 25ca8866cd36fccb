"""Makes files as a build leaves them, small and in no time, and bundles of them."""

import io
import json
import random
import zipfile

from mqhost.flash.espimage import build_app_image
from mqhost.signing.offer import Offer

BOARD = "esp32"


def bundle_files(version, board=BOARD, size=20_000):
    """Return the files of a build, by name."""
    payload = random.Random(version).randbytes(size)  # does not compress: there is much to cut
    app = build_app_image(
        payload, chip_id=0, project="mqboard", version=version, build_time=1, idf_version="test"
    )
    offer = Offer.make(app, board=board, mcu="esp32", version=version, seq=1)
    report = {"board": board, "version": version}
    return {
        "app.bin": app,
        "flash.bin": b"\xff" * 512 + app,
        "image.json": offer.to_bytes(),
        "build.json": json.dumps(report).encode(),
    }


def pack(files):
    """Return the bytes of a zip archive of `files`."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo("x")
            entry.filename = name  # as it is: ZipInfo would mend what is wrong with it
            archive.writestr(entry, data, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def bundle_bytes(version, board=BOARD):
    """Return the bytes of a bundle."""
    return pack(bundle_files(version, board))
