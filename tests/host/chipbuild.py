"""Lays out small builds for a chip, and makes configurations to provision it with."""

import json

from mqhost.build.board import find
from mqhost.cli.terminal.questions import Questions
from mqhost.flash.espimage import build_app_image
from mqhost.flash.filesystem import list_files
from mqhost.link.boardconfig import Wish
from mqhost.usb.provision import Provision

ESP32, SIM = find("esp32"), find("sim")
WISH = Wish("home", "10.0.0.1", "esp32/test", tls=False)
ENVIRONMENT = {"MQBOARD_WIFI_PASSWORD": "wifi-secret", "MQBOARD_BROKER_PASSWORD": "broker-secret"}
NOBODY = Questions(None, None, ENVIRONMENT)


def make(wish=WISH, questions=NOBODY, **options):
    return Provision.make(wish, secret=questions.secret, **options)


def lay_build(folder, board, sign=bytes, **report):
    """Lay out a build of `board`: a flash image with a bootloader, the table, and an app, which
    `sign` may change."""
    folder.mkdir(exist_ok=True)
    table = board.table
    app = build_app_image(
        b"code" * 5000,
        chip_id=board.chip_id,
        project="p",
        version="v",
        build_time=0,
        idf_version="i",
    )
    app = sign(app)
    image = b"boot" * 1000
    image = image.ljust(table.offset - board.flash_offset, b"\xff") + table.to_bytes()
    image = image.ljust(table.slots[0].offset - board.flash_offset, b"\xff") + app
    (folder / "flash.bin").write_bytes(image)
    (folder / "build.json").write_text(json.dumps({"version": "1.2.3"} | report))
    return folder


def files_on(data, board=ESP32):
    vfs = board.table.find("vfs")
    part = bytes(data[vfs.offset : vfs.end])
    return list_files(lambda offset, size: part[offset : offset + size], vfs.size)
