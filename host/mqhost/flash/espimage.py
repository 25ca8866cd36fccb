"""Makes and verifies the ESP32 app image: what goes into a slot, and esptool and bootloader read.

`build_app_image` wraps an executable; `verify` checks an image as the bootloader does and says what
it is; `executable_of` takes the executable out again. Layout: a 24-byte header, segments of (load
address, length, data), zeros and a checksum byte that end a 16-byte row, the SHA-256 of all that.
The first segment begins with the application description, as ESP-IDF places it.

Sources: ESP-IDF programming guide, "App Image Format"; `esp_image_header_t` (esp_app_format.h) and
`esp_app_desc_t` (esp_app_desc.h); esptool's documentation, "Firmware Image Format".
"""

import hashlib
import struct
import time
from dataclasses import dataclass

from mqhost.errors import ToolError
from mqhost.flash.chips import CHIPS
from mqhost.flash.partition import SECURED_TABLE_OFFSET, is_flash_image
from mqhost.paths import TASK
from mqwire import WireError
from mqwire.flash import (
    DIGEST_SIZE,
    IMAGE_HEADER_SIZE,
    IMAGE_MAGIC,
    MAX_SEGMENTS,
    SEGMENT_SIZE,
    image_header,
    image_size,
)

# Magic, segments, SPI mode (DIO), SPI speed (40 MHz) and flash size (4 MB), entry point, WP pin
# (disabled), drive settings, chip, minimal revision (old, new), maximal revision, reserved, hash.
_HEADER = "<BBBBIB3sHBHH4sB"
_SPI_DIO = 2
_SPI_40MHZ_4MB = 0x20
_WP_DISABLED = 0xEE
_ANY_REVISION = 0xFFFF
_SEGMENT = "<II"
_CHECKSUM_SEED = 0xEF
_ROW = 16

# esp_app_desc_t: magic, secure version, reserved, version, project, time, date, IDF version,
# SHA-256 of the executable, eFuse block revisions (lowest, highest), MMU page size, reserved.
_DESCRIPTION = "<I4s8s32s32s16s16s32s32sHHB3s72s"
_DESCRIPTION_SIZE = struct.calcsize(_DESCRIPTION)
_DESCRIPTION_MAGIC = 0xABCD5432
_ANY_EFUSE = 0xFFFF
_MMU_PAGE = 16  # 2**16 bytes
# Behind the description, in the same segment: the executable's length before padding.
_LENGTH = "<I"
_EXECUTABLE_OFFSET = IMAGE_HEADER_SIZE + 2 * SEGMENT_SIZE + _DESCRIPTION_SIZE + 4

# Where in an app image the SHA-256 of the program stands, as esp_app_desc_t has it.
PROGRAM_HASH = range(IMAGE_HEADER_SIZE + SEGMENT_SIZE + 144, IMAGE_HEADER_SIZE + SEGMENT_SIZE + 176)

# Where the ESP32 maps flash: constants from _DROM on, code from _IROM on. The cache maps pages of
# 64 KiB, so an address and its place in the slot must agree modulo 64 KiB.
_DROM = 0x3F400000 + IMAGE_HEADER_SIZE + SEGMENT_SIZE
_IROM = 0x400D0000 + _EXECUTABLE_OFFSET

CHIP_NAMES = {chip.number: chip.title for chip in CHIPS.values()}


class ImageError(ToolError):
    """The bytes are not a whole and valid app image for this chip."""

    exit_code = 2


@dataclass(frozen=True)
class ImageInfo:
    """What a valid app image says about itself.

    `size` is in bytes, all included; `digest` is the appended SHA-256 in hex (it covers everything
    before it, so it is not the SHA-256 of the whole file).
    """

    size: int
    chip_id: int
    digest: str
    version: str
    project: str


@dataclass(frozen=True)
class Segment:
    """One segment of an app image: its number from 0, where its data stand in the file and how many
    bytes they are, and the address at which the chip has them."""

    number: int
    offset: int
    size: int
    address: int


def build_app_image(
    executable: bytes,
    *,
    chip_id: int,
    project: str,
    version: str,
    build_time: int,
    idf_version: str,
) -> bytes:
    """Return the app image that carries `executable`.

    `build_time` is in Unix seconds and the only time that gets into the image: the same arguments
    give the same bytes. Texts longer than 31 bytes are cut.
    """
    when = time.gmtime(build_time)
    description = struct.pack(
        _DESCRIPTION,
        _DESCRIPTION_MAGIC,
        b"",
        b"",
        _text(version),
        _text(project),
        time.strftime("%H:%M:%S", when).encode(),
        time.strftime("%b %d %Y", when).encode(),
        _text(idf_version),
        hashlib.sha256(executable).digest(),
        0,
        _ANY_EFUSE,
        _MMU_PAGE,
        b"",
        b"",
    )
    constants = description + struct.pack(_LENGTH, len(executable))
    code = executable + bytes(-len(executable) % 4)
    header = struct.pack(
        _HEADER,
        IMAGE_MAGIC,
        2,
        _SPI_DIO,
        _SPI_40MHZ_4MB,
        _IROM,
        _WP_DISABLED,
        b"",
        chip_id,
        0,
        0,
        _ANY_REVISION,
        b"",
        1,
    )
    image = bytearray(header)
    for address, data in ((_DROM, constants), (_IROM, code)):
        image += struct.pack(_SEGMENT, address, len(data)) + data
    image += bytes(_ROW - 1 - len(image) % _ROW)
    image.append(_CHECKSUM_SEED ^ _xor(constants) ^ _xor(code))
    return bytes(image) + hashlib.sha256(image).digest()


def verify(data: bytes | memoryview, chip_id: int | None = None) -> ImageInfo:
    """Check an app image at the start of `data` (a file, or a whole slot) as the bootloader does.

    Raises ImageError saying what is wrong: no app image, for another chip (than `chip_id`, if
    given), truncated, wrong checksum, wrong SHA-256.
    """
    view = memoryview(data)
    try:
        _, chip, hashed = image_header(view[:IMAGE_HEADER_SIZE])
    except WireError as error:
        raise ImageError(_what_is(view)) from error
    if chip_id is not None and chip != chip_id:
        raise ImageError(f"The app image is for {_chip(chip)}; this board is {_chip(chip_id)}.")
    try:
        size = image_size(lambda offset, count: view[offset : offset + count], len(view))
    except WireError as error:
        raise ImageError(
            f"The app image is truncated or damaged: its segments do not end within the "
            f"{len(view):,} B there are. Build or copy it again."
        ) from error
    if size <= SECURED_TABLE_OFFSET and is_flash_image(view):
        raise ImageError(_what_is(view))  # a chip whose bootloader, also 0xE9, stands at address 0
    if not hashed:
        raise ImageError("The app image has no SHA-256 at its end. Build it with one.")
    _check_sums(view[:size])
    version, project = _description(view)
    return ImageInfo(size, chip, view[size - DIGEST_SIZE : size].hex(), version, project)


def segments(data: bytes) -> list[Segment]:
    """Return the segments of an app image; as many as there are whole ones, none of other bytes."""
    found: list[Segment] = []
    position = IMAGE_HEADER_SIZE
    for number in range(data[1] if len(data) > 1 and data[0] == IMAGE_MAGIC else 0):
        if position + SEGMENT_SIZE > len(data) or number >= MAX_SEGMENTS:
            break
        address, size = struct.unpack_from(_SEGMENT, data, position)
        position += SEGMENT_SIZE
        found.append(Segment(number, position, size, address))
        position += size
    return found


def executable_of(data: bytes | memoryview) -> bytes:
    """Return the executable in an app image made by `build_app_image`; ImageError if none."""
    view = memoryview(data)
    parts = list(_segments(view))
    if len(parts) != 2 or len(parts[0]) != _DESCRIPTION_SIZE + 4:
        raise ImageError(
            "The app image carries no executable for the simulated board. Was it built for another "
            f"board? Build one with {TASK} build --board sim."
        )
    (length,) = struct.unpack_from(_LENGTH, parts[0], _DESCRIPTION_SIZE)
    return bytes(parts[1][:length])


def _check_sums(image: memoryview) -> None:
    """Raise ImageError unless checksum byte and SHA-256 fit the bytes."""
    body = image[:-DIGEST_SIZE]
    checksum = _CHECKSUM_SEED
    for segment in _segments(body):
        checksum ^= _xor(segment)
    if checksum != body[-1]:
        raise ImageError(
            f"The app image is damaged: its checksum is {checksum:#04x}, it says {body[-1]:#04x}."
        )
    digest = hashlib.sha256(body).hexdigest()
    if digest != image[-DIGEST_SIZE:].hex():
        raise ImageError(
            f"The app image is damaged: its SHA-256 is {digest[:16]}…, "
            f"it says {image[-DIGEST_SIZE:].hex()[:16]}…"
        )


def _segments(view: memoryview):
    """Yield the data of each segment of an image whose headers are known to be within `view`."""
    position = IMAGE_HEADER_SIZE
    for _ in range(min(view[1], MAX_SEGMENTS) if len(view) > 1 else 0):
        if position + SEGMENT_SIZE > len(view):
            raise ImageError("The app image is truncated.")
        _, length = struct.unpack_from(_SEGMENT, view, position)
        position += SEGMENT_SIZE
        yield view[position : position + length]
        position += length


def _description(view: memoryview) -> tuple[str, str]:
    """Return (version, project) from the application description; ("", "") if there is none."""
    try:
        fields = struct.unpack_from(_DESCRIPTION, view, IMAGE_HEADER_SIZE + SEGMENT_SIZE)
    except struct.error:
        return "", ""
    if fields[0] != _DESCRIPTION_MAGIC:
        return "", ""
    version, project = (text.split(b"\0")[0].decode(errors="replace") for text in fields[3:5])
    return version, project


def _what_is(view: memoryview) -> str:
    """Say in a sentence what bytes are that are no app image."""
    if is_flash_image(view):
        return (
            "This is a flash image (bootloader first, then the partition table), not an app "
            "image. Give the app.bin beside it."
        )
    if bytes(view[:4]) == b"\x7fELF":
        return "This is a bare ELF executable, not an app image. Give the build's app.bin."
    if bytes(view[:16]).strip(b"\xff") == b"":
        return "There is no app image: it is blank." if len(view) else "The app image is empty."
    return f"This is no app image: it begins with {bytes(view[:4]).hex()}, an app image with e9."


def _chip(chip_id: int) -> str:
    return CHIP_NAMES.get(chip_id, f"chip {chip_id}")


def _text(text: str) -> bytes:
    """Encode at most 31 bytes of UTF-8 (so that a zero ends it), not cut within a character."""
    return text.encode()[:31].decode(errors="ignore").encode()


def _xor(data: bytes | memoryview) -> int:
    """Return the XOR of all bytes, folded as one big number: a byte loop takes 50 times longer."""
    width = 1 << max(0, len(data) - 1).bit_length()
    number = int.from_bytes(data, "little")
    while width > 1:
        width //= 2
        number = (number >> (8 * width)) ^ (number & ((1 << (8 * width)) - 1))
    return number
