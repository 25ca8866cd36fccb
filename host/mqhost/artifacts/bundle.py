"""Reads and checks bundles: zip archives with the files of one build, as CI makes them.

CI names it `firmware-<board>.v<version>` (a board's name has no dot, so that the board can be read
from it), `read_bundle` opens one that came over the network: only the files that a build writes are
taken, by name and not by path, within bounds, and nothing is believed that does not match the offer
in image.json. `unpack` puts them where the build would have.
"""

import re
import stat
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mqhost.errors import ToolError, UsageError
from mqhost.files import replace_file
from mqhost.flash.espimage import ImageError, verify
from mqhost.signing import sign as signing
from mqhost.signing.offer import Offer

APP, FLASH, OFFER, SIGNATURE, REPORT, SBOM, PROVENANCE = NAMES = (
    "app.bin",
    "flash.bin",
    "image.json",
    "image.sig",
    "build.json",
    "sbom.cdx.json",
    "provenance.json",
)
_LARGEST = 64 * 1024 * 1024  # bytes of one file; the largest flash is 32 MiB
_LONGEST = 16 * 1024 * 1024  # of one that is text
_MOST_FILES = 100
# LZMA takes as much memory as the archive wants, gigabytes of it.
_PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_NAME = re.compile(r"firmware-([a-z0-9][a-z0-9_-]*)\.v([A-Za-z0-9][A-Za-z0-9.+_-]*?)(?:\.zip)?")

# Told the bytes of image.json and of image.sig (None without one); raises ToolError to refuse.
SignatureCheck = Callable[[bytes, bytes | None], None]


class BundleError(ToolError):
    """Raised when a bundle is not what a build made: damaged, changed, or of something else."""


@dataclass(frozen=True)
class Bundle:
    """A bundle that was checked: the offer, and the bytes of its files by name."""

    offer: Offer
    files: Mapping[str, bytes]

    @property
    def app(self) -> bytes:
        """The app image."""
        return self.files[APP]

    @property
    def signature(self) -> bytes | None:
        """The offer's signature, if there is one."""
        return self.files.get(SIGNATURE)

    def unpack(self, folder: Path) -> None:
        """Write the files into `folder` (made if missing), over those of another build."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in sorted(NAMES, key=lambda name: name == OFFER):  # the offer last
            if name in self.files:
                replace_file(folder / name, self.files[name])
            else:
                (folder / name).unlink(missing_ok=True)


def bundle_name(board: str, version: str) -> str:
    """Return the name of the bundle of that build, without .zip."""
    return f"firmware-{board}.v{version}"


def board_of(name: str) -> str | None:
    """Return the board whose bundle is called `name`, with or without .zip, or None."""
    match = _NAME.fullmatch(name)
    return match[1] if match else None


def read_bundle(
    path: Path, board: str | None, check_signature: SignatureCheck = signing.check_signature
) -> Bundle:
    """Read and check the bundle of `board`, None for any, in the zip file `path`; raises
    BundleError, OSError.
    """
    files = read_zip(path)
    for name in (APP, OFFER):
        if name not in files:
            raise BundleError(f"{path.name} holds no {name}: it is not firmware of this project.")
    try:
        offer = Offer.from_bytes(files[OFFER], f"{path.name}: {OFFER}")
        check_signature(files[OFFER], files.get(SIGNATURE))
        if not offer.matches(files[APP]):
            raise BundleError(
                f"{path.name}: {APP} does not have the hash that {OFFER} tells, "
                f"{offer.sha256[:16]}…: it was changed or damaged. Nothing was kept."
            )
        verify(files[APP])
    except (UsageError, ImageError) as error:
        raise BundleError(f"{error} Nothing was kept.") from error
    if board is not None and offer.board != board:
        raise BundleError(
            f"{path.name} holds firmware of board {offer.board!r:.40}, not {board!r}. "
            "Nothing was kept."
        )
    if FLASH in files and files[APP] not in files[FLASH]:
        raise BundleError(
            f"{path.name}: {FLASH} does not contain {APP}: they are of two builds. "
            "Nothing was kept."
        )
    return Bundle(offer, files)


def limit_of(name: str) -> int:
    """Return how many bytes a build's file of that name has at most."""
    return _LARGEST if name in (APP, FLASH) else _LONGEST


def read_zip(path: Path) -> dict[str, bytes]:
    """Return the files of a build in the archive; BundleError if it could do harm or is damaged."""
    files: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if entries and all(entry.header_offset for entry in entries):
                # What unpacks from the front would find other files there.
                raise BundleError(
                    f"{path.name} is not to be trusted: something is before its files."
                )
            if len(entries) > _MOST_FILES:
                raise BundleError(
                    f"{path.name} holds {len(entries)} files; a build makes {len(NAMES)}."
                )
            for entry in entries:
                _check_entry(path, entry, files)
                if entry.filename in NAMES:
                    files[entry.filename] = _read_entry(path, archive, entry)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as error:
        raise BundleError(f"{path.name} is damaged: {error}. Nothing was kept.") from error
    return files


def _check_entry(path: Path, entry: zipfile.ZipInfo, seen: Mapping[str, bytes]) -> None:
    """Raise BundleError for an entry that our CI does not make."""
    # The name as it stands in the archive: the zipfile module cuts it at a zero byte.
    name, kind = entry.orig_filename, stat.S_IFMT(entry.external_attr >> 16)
    wrong = (
        "leads out of the folder"
        if "/" in name or "\\" in name or ":" in name or "\0" in name or name in ("", ".", "..")
        else "is there twice"
        if name in seen
        else "is not a plain file"
        if kind not in (0, stat.S_IFREG)
        else "is encrypted"
        if entry.flag_bits & 1
        else "is packed in a way that no build does"
        if entry.compress_type not in _PACKED
        else ""
    )
    if wrong:
        raise BundleError(
            f"{path.name} is not to be trusted: its entry {name!r:.60} {wrong}. Nothing was kept."
        )


def _read_entry(path: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """Return an entry's bytes; BundleError if they are more than a build could have made."""
    limit = limit_of(entry.filename)
    with archive.open(entry) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise BundleError(
            f"{path.name}: {entry.filename} has more than {limit:,} B. Nothing was kept."
        )
    return data
