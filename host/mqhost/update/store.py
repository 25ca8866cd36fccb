"""Keeps app images on this machine by their SHA-256, in the cache folder: the local image store.

    <cache>/images/<sha256>/  app.bin  image.json  [image.sig]

What is built, downloaded or pushed is put here, so that it can be pushed again, and so that an
update can be made against what a board runs. An entry appears whole or not at all (it is written
beside its place and renamed); one whose bytes do not match its hash counts as missing and is thrown
away. Only the files count: there is no index that could disagree with them. When the store grows
over its limit, the entries that were not used for longest go.
"""

import contextlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from mqhost.errors import UsageError
from mqhost.locks import locked
from mqhost.paths import TASK, cache_dir
from mqhost.signing.offer import Offer

LIMIT = 512 * 1024 * 1024  # bytes; some 350 images of an ESP32 with 4 MiB
APP, OFFER, SIGNATURE = "app.bin", "image.json", "image.sig"
_SHORTEST = 6  # hex digits that name an image
_HEX = set("0123456789abcdef")
_UNFINISHED = ".new-"


@dataclass(frozen=True)
class StoredImage:
    """An entry: its folder, and what was read of it and found to belong together."""

    folder: Path
    offer: Offer
    app: bytes
    signature: bytes | None


class ImageStore:
    """The images in `folder`, by default in the cache; `limit` is in bytes."""

    def __init__(self, folder: Path | None = None, limit: int = LIMIT) -> None:
        self.folder = folder or cache_dir() / "images"
        self._limit = limit

    def put(self, app: bytes, offer: Offer, signature: bytes | None = None) -> Path:
        """Keep `app`, which `offer` describes, with the offer's signature or the one that is given;
        returns where its app.bin is.

        Raises UsageError if they do not belong together, OSError if it cannot be written.
        """
        if not offer.matches(app):
            raise UsageError(f"The image does not match its offer, {offer.sha256[:16]}…: not kept.")
        signature = signature or offer.signature
        target = self.folder / offer.sha256
        with self._lock():
            known = _read(target)
            if known is None or (signature and signature != known.signature):
                self._write(target, app, offer, signature)
            os.utime(target)
            self._evict(spare=target)
        return target / APP

    def get(self, sha256: str) -> StoredImage | None:
        """Return the image with that hash, verified; None if it is not here (any more)."""
        if len(sha256) != 64 or set(sha256) - _HEX:
            return None
        image = self._intact(sha256)
        if image is not None:
            # Used just now. It may have been evicted meanwhile: we have its bytes.
            with contextlib.suppress(OSError):
                os.utime(image.folder)
        return image

    def find(self, text: str) -> Path:
        """Return the app.bin of the one image whose hash begins with `text`, or UsageError."""
        wanted = text.lower()
        if len(wanted) < _SHORTEST or set(wanted) - _HEX:
            raise UsageError(
                f"{text!r} names no image: give {_SHORTEST} or more digits of its SHA-256."
            )
        names = [name for name in self._names() if name.startswith(wanted)]
        if len(names) > 1:
            short = ", ".join(name[: len(wanted) + 6] + "…" for name in names)
            raise UsageError(f"{text!r} can be one of {short}. Give more digits.")
        if not names or self.get(names[0]) is None:
            raise UsageError(
                f"No image {text!r} is kept in {self.folder}. Build it ({TASK} build) or download "
                f"it ({TASK} artifact)."
            )
        return self.folder / names[0] / APP

    def has(self, start: str) -> bool:
        """Return whether the hash of an image that is kept begins so."""
        return any(name.startswith(start.lower()) for name in self._names())

    def images(self) -> list[Offer]:
        """Return what is kept, the last used first; damaged entries are thrown away."""
        found = (self._intact(name) for name in self._names())
        return [image.offer for image in found if image is not None]

    def _intact(self, sha256: str) -> StoredImage | None:
        """Return the entry, read and verified; one that is damaged is thrown away."""
        folder = self.folder / sha256
        image = _read(folder)
        if image is None and folder.exists():
            with contextlib.suppress(OSError), self._lock():
                image = _read(folder)  # it may have been replaced meanwhile
                if image is None:
                    self._remove(folder)
        return image

    def _names(self) -> list[str]:
        """Return the hashes of the entries, the last used first."""
        times: dict[str, int] = {}
        with contextlib.suppress(OSError):
            for entry in os.scandir(self.folder):
                if len(entry.name) == 64:
                    with contextlib.suppress(FileNotFoundError):  # evicted just now
                        times[entry.name] = entry.stat().st_mtime_ns
        return sorted(times, key=lambda name: times[name], reverse=True)

    def _write(self, target: Path, app: bytes, offer: Offer, signature: bytes | None) -> None:
        new = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=self.folder))
        try:
            (new / APP).write_bytes(app)
            (new / OFFER).write_bytes(offer.to_bytes())
            if signature:
                (new / SIGNATURE).write_bytes(signature)
            self._remove(target)
            new.rename(target)
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            raise

    def _evict(self, spare: Path) -> None:
        """Remove the entries used longest ago until the limit holds, and unfinished ones."""
        for leftover in self.folder.glob(_UNFINISHED + "*"):
            shutil.rmtree(leftover, ignore_errors=True)  # of a killed run: we hold the lock
        total = 0
        for name in self._names():
            folder = self.folder / name
            total += _size(folder)
            if total > self._limit and folder != spare:
                self._remove(folder)

    def _remove(self, folder: Path) -> None:
        """Take an entry away at once: nobody sees half of it."""
        away = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=self.folder))
        with contextlib.suppress(FileNotFoundError):
            folder.rename(away / "old")
        shutil.rmtree(away, ignore_errors=True)

    def _lock(self) -> contextlib.AbstractContextManager[None]:
        return locked(self.folder / "lock")


def is_digits(text: str) -> bool:
    """Return whether `text` can be how the SHA-256 of an image begins."""
    return _SHORTEST <= len(text) <= 64 and not set(text.lower()) - _HEX


def remember(app: bytes, offer: Offer) -> None:
    """Put an image into the store where that is possible: a full disk or a cache that cannot be
    written must not fail the build or the update whose image it is."""
    with contextlib.suppress(OSError):
        ImageStore().put(app, offer)


def _read(folder: Path) -> StoredImage | None:
    """Return the entry in `folder` if it is whole and is what its name says."""
    try:
        app = (folder / APP).read_bytes()
        offer = Offer.from_bytes((folder / OFFER).read_bytes())
        signature = (folder / SIGNATURE).read_bytes() if (folder / SIGNATURE).exists() else None
    except (OSError, UsageError):
        return None
    if offer.sha256 != folder.name or not offer.matches(app):
        return None
    return StoredImage(folder, offer, app, signature)


def _size(folder: Path) -> int:
    """Return the bytes of the files in `folder`."""
    with contextlib.suppress(FileNotFoundError):
        return sum(entry.stat().st_size for entry in os.scandir(folder))
    return 0
