"""Makes and reads the offer: what image.json says about an app image, and boards decide by.

`build` makes it from app.bin (`Offer.make`) and writes its bytes; `ota` loads it, checks that it
still describes the app.bin beside it, and sends the same bytes to the board. The bytes are
canonical (one spelling per offer) because they are what a signature covers.
"""

import base64
import binascii
import hashlib
import json
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from mqhost.errors import UsageError
from mqhost.flash.partition import is_flash_image
from mqhost.paths import TASK
from mqwire import MAX_NAME, WireError, names
from mqwire.update import (
    BLOCK_SIZE,
    HASH_SIZE,
    KEY_NAME_SIZE,
    MAX_VERSION,
    OFFER_FORMAT,
    SIGNATURE_SIZE,
)

_ADVICE = f"Build it again ({TASK} build)."
_HEX = set("0123456789abcdef")


def block_count(size: int) -> int:
    """Return how many 4096-byte blocks an image of `size` bytes has."""
    return -(-size // BLOCK_SIZE)


def block_of(app: bytes, number: int) -> bytes:
    """Return the 4096 bytes of block `number` as they will stand in flash (padded with 0xFF)."""
    return app[number * BLOCK_SIZE : (number + 1) * BLOCK_SIZE].ljust(BLOCK_SIZE, b"\xff")


@dataclass(frozen=True)
class Offer:
    """A description of one app image.

    `key` names the key it is signed with, by 16 hex digits, "" without one; it comes second, where
    a board finds it before it believes the rest. `chip_id` is the number that app.bin's header
    gives the chip; `seq` grows from release to release; `sha256` is the hex SHA-256 of the whole
    app.bin; `blocks` is base64 of the first 4 bytes of the SHA-256 of each block, in order.
    `signature` is no field of image.json: it is what image.sig holds, b"" without one.
    """

    format: int
    key: str
    board: str
    mcu: str
    chip_id: int
    version: str
    seq: int
    size: int
    sha256: str
    block_size: int
    blocks: str
    signature: bytes = field(default=b"", compare=False, repr=False)

    @classmethod
    def make(
        cls,
        app: bytes,
        *,
        board: str,
        mcu: str,
        version: str,
        seq: int,
        chip_id: int = 0,
        key: str = "",
    ) -> "Offer":
        """Describe `app`, the bytes of app.bin; `key` names the key that will sign it."""
        if not app:
            raise UsageError(f"The app image for board {board} is empty. {_ADVICE}")
        hashes = b"".join(
            hashlib.sha256(block_of(app, number)).digest()[:HASH_SIZE]
            for number in range(block_count(len(app)))
        )
        offer = cls(
            format=OFFER_FORMAT,
            key=key,
            board=board,
            mcu=mcu,
            chip_id=chip_id,
            version=version,
            seq=seq,
            size=len(app),
            sha256=hashlib.sha256(app).hexdigest(),
            block_size=BLOCK_SIZE,
            blocks=base64.b64encode(hashes).decode("ascii"),
        )
        offer._check(f"The offer for board {board!r:.40}")
        return offer

    def to_bytes(self) -> bytes:
        """Return the exact bytes of image.json: compact ASCII JSON, keys in the fields' order."""
        record = asdict(self)
        del record["signature"]
        return json.dumps(record, separators=(",", ":")).encode("ascii")

    def signed(self, signature: bytes) -> "Offer":
        """Return the same offer with `signature`, the bytes of image.sig; not checked here."""
        return replace(self, signature=signature)

    @classmethod
    def from_bytes(cls, data: bytes, where: str = "image.json") -> "Offer":
        """Read an offer and check every field; `where` names the file in errors (UsageError)."""
        try:
            record = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{where} is not JSON: {error}. {_ADVICE}") from error
        if not isinstance(record, dict):
            raise UsageError(f"{where} is not an offer: it is no JSON object. {_ADVICE}")
        offer = cls(**_typed(record, where))
        offer._check(where)
        if offer.to_bytes() != data:
            raise UsageError(
                f"{where} was edited or reformatted: its bytes are not those the build wrote. "
                f"{_ADVICE}"
            )
        return offer

    @classmethod
    def load(cls, path: Path) -> "Offer":
        """Read the offer in file `path`, and the signature in image.sig beside it if there is one;
        UsageError if it is missing or wrong."""
        try:
            data = path.read_bytes()
        except FileNotFoundError as error:
            raise UsageError(
                f"{path} is missing. It is the description that the build writes beside app.bin: "
                f"copy it there too, or build again ({TASK} build)."
            ) from error
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
        return cls.from_bytes(data, str(path)).signed(_signature(path.with_name("image.sig")))

    def matches(self, app: bytes) -> bool:
        """Return whether `app` is, to the byte, the image that is described."""
        return len(app) == self.size and hashlib.sha256(app).hexdigest() == self.sha256

    @property
    def count(self) -> int:
        """The number of blocks."""
        return block_count(self.size)

    def _check(self, where: str) -> None:
        """Raise UsageError unless the fields make sense, alone and together."""
        if self.format != OFFER_FORMAT:
            raise UsageError(
                f"{where} has offer format {self.format}; this tool knows format {OFFER_FORMAT}. "
                "Use the mqboard version that built it."
            )
        if self.block_size != BLOCK_SIZE:
            raise UsageError(f"{where}: block_size is {self.block_size}, not {BLOCK_SIZE}.")
        if self.key and (len(self.key) != KEY_NAME_SIZE or set(self.key) - _HEX):
            raise UsageError(f"{where}: key is {self.key!r:.40}, no key's name. {_ADVICE}")
        for name, most in (("board", MAX_NAME), ("mcu", MAX_NAME), ("version", MAX_VERSION)):
            try:
                names.check_text(getattr(self, name), most)
            except WireError as error:
                raise UsageError(f"{where}: {name} is not possible: {error}. {_ADVICE}") from error
        if not 0 <= self.chip_id <= 0xFFFF:
            raise UsageError(f"{where}: chip_id is {self.chip_id}: not possible. {_ADVICE}")
        if self.size <= 0 or self.seq < 0:
            raise UsageError(f"{where}: size {self.size}, seq {self.seq}: not possible. {_ADVICE}")
        if len(self.sha256) != 64 or set(self.sha256) - _HEX:
            raise UsageError(f"{where}: sha256 is not 64 lower-case hex digits. {_ADVICE}")
        try:
            hashes = base64.b64decode(self.blocks, validate=True)
        except (binascii.Error, ValueError) as error:
            raise UsageError(f"{where}: blocks is not base64: {error}. {_ADVICE}") from error
        if len(hashes) != self.count * HASH_SIZE:
            raise UsageError(
                f"{where}: blocks holds {len(hashes)} B of hashes; an image of {self.size} B has "
                f"{self.count} blocks of {HASH_SIZE} B each. {_ADVICE}"
            )


def load_image(path: Path) -> tuple[Offer, bytes]:
    """Read app.bin and the image.json beside it; UsageError unless they belong together."""
    try:
        app = path.read_bytes()
    except FileNotFoundError as error:
        raise UsageError(
            f"{path} is missing. Build it ({TASK} build --board NAME) or name another one."
        ) from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
    beside = path.with_name("image.json")
    if path.name == beside.name:
        raise UsageError(f"{path} describes an image; name the image itself: app.bin beside it.")
    if not beside.exists() and is_flash_image(app):
        raise UsageError(_flash_image_sentence(path))
    offer = Offer.load(beside)
    if offer.matches(app):
        return offer, app
    if is_flash_image(app):
        raise UsageError(_flash_image_sentence(path))
    if len(app) != offer.size:
        raise UsageError(
            f"{path} has {len(app)} B, but {beside.name} beside it describes an image of "
            f"{offer.size} B: it is cut short or of another build. {_ADVICE}"
        )
    raise UsageError(
        f"{path} has SHA-256 {hashlib.sha256(app).hexdigest()[:16]}…, but {beside.name} beside it "
        f"describes {offer.sha256[:16]}…: it was changed or is of another build. {_ADVICE}"
    )


def _signature(path: Path) -> bytes:
    """Return the signature in file `path`, b"" if there is none; UsageError if it cannot be one."""
    try:
        signature = path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
    if len(signature) != SIGNATURE_SIZE:
        raise UsageError(
            f"{path} has {len(signature)} B; a signature has {SIGNATURE_SIZE} B. {_ADVICE}"
        )
    return signature


def _flash_image_sentence(path: Path) -> str:
    return (
        f"{path} is a flash image (bootloader, partition table and app, for USB). Over MQTT goes "
        "the app image: app.bin of the same build."
    )


def _typed(record: dict[str, Any], where: str) -> dict[str, Any]:
    """Return `record` if it has exactly an offer's keys with values of their types."""
    types = {field.name: field.type for field in fields(Offer) if field.name != "signature"}
    unknown, missing = sorted(record.keys() - types.keys()), sorted(types.keys() - record.keys())
    if unknown or missing:
        parts = [
            f"{word} {', '.join(names)}"
            for word, names in (("unknown", unknown), ("missing", missing))
            if names
        ]
        raise UsageError(f"{where} is not an offer: {'; '.join(parts)}. {_ADVICE}")
    for name, kind in types.items():
        if type(record[name]) is not kind:
            raise UsageError(
                f"{where}: {name} is {record[name]!r:.40}, not {kind.__name__}. {_ADVICE}"  # type: ignore[union-attr]
            )
    return record
