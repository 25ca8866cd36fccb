"""Finds out which files a package has, and gets them, with those of the packages that it needs."""

import hashlib
import json
import os
import posixpath
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from mqhost.errors import ToolError, UsageError
from mqhost.mip.fetching import Fetcher, NotThere, expand, is_address, is_url

_MANIFEST = "package.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_MOST_PACKAGES = 100


@dataclass(frozen=True)
class Wish:
    """What somebody wants: `what` is a name in the index or an address, `version` may be ""."""

    what: str
    version: str = ""

    @classmethod
    def parse(cls, text: str) -> "Wish":
        """Read NAME, NAME@VERSION, github:OWNER/NAME/PATH@TAG or a URL; UsageError if it is none.

        An @ before the last slash belongs to a URL.
        """
        what, at, version = text.rpartition("@")
        if not at or "/" in version:
            what, version = text, ""
        elif is_url(what):
            raise UsageError(f"{text}: a URL has its version in itself, not behind an @.")
        wish = cls(what, version)
        wish.check()
        return wish

    def check(self) -> None:
        """Raise UsageError unless this can be asked for."""
        if is_address(self.what):
            expand(self.what)
        elif not _NAME.fullmatch(self.what):
            raise UsageError(f"{self.what!r:.60} is no package's name.")
        if self.version and not _NAME.fullmatch(self.version.replace("/", "-")):
            raise UsageError(f"{self.version!r:.60} is no version.")

    def __str__(self) -> str:
        return f"{self.what}@{self.version}" if self.version else self.what


@dataclass
class Bundle:
    """What was found: `files` by their paths in the folder for libraries; `versions` by package."""

    files: dict[str, bytes] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)


class Finder:
    """Finds packages in `index`, a URL or a folder, for boards that take .mpy of version `mpy`.

    With `mpy` 0 it gets .py files. Raises ToolError with what is missing, and who needs it.
    """

    def __init__(self, fetcher: Fetcher, index: str, mpy: int) -> None:
        self._fetcher = fetcher
        self._index = index.rstrip("/")
        self._kind = str(mpy or "py")

    def find(self, wishes: list[Wish]) -> Bundle:
        """Return all that `wishes` are, with what they need."""
        bundle = Bundle()
        queue = [(wish, "") for wish in wishes]
        seen: set[str] = set()
        while queue:
            wish, needed_by = queue.pop(0)
            if wish.what in seen:
                continue
            seen.add(wish.what)
            if len(seen) > _MOST_PACKAGES:
                raise ToolError(f"{wishes[0]} needs more than {_MOST_PACKAGES} packages.")
            try:
                needs = self._add(bundle, wish)
            except NotThere as error:
                by = f", which {needed_by} needs" if needed_by else ""
                raise ToolError(f"There is no package {wish}{by}. {error}") from error
            queue += [(need, str(wish)) for need in needs]
        return bundle

    def _add(self, bundle: Bundle, wish: Wish) -> list[Wish]:
        """Add what `wish` is to `bundle`; return what it needs."""
        address = expand(wish.what, wish.version)
        if not is_address(wish.what):
            self._check_index()
            version = wish.version or "latest"
            address = f"{self._index}/package/{self._kind}/{wish.what}/{version}.json"
        elif address.endswith((".py", ".mpy")):
            self._put(bundle, posixpath.basename(address), self._fetcher.fetch(address), address)
            bundle.versions[wish.what] = wish.version
            return []
        elif not address.endswith(".json"):
            address = f"{address.rstrip('/')}/{_MANIFEST}"
        record = _record(self._fetcher.fetch(address), address)
        for target, short in _pairs(record, "hashes", address):
            place = f"{self._index}/file/{short[:2]}/{short}"
            data = self._fetch(place, address)
            if not short or not hashlib.sha256(data).hexdigest().startswith(short):
                raise ToolError(f"{place} is not what {address} says: its SHA-256 is another.")
            self._put(bundle, target, data, address)
        for target, url in _pairs(record, "urls", address):
            place = expand(url, wish.version)
            if not is_url(place):
                place = self._beside(address, place)
            self._put(bundle, target, self._fetch(place, address), address)
        bundle.versions[wish.what] = str(record.get("version") or wish.version)
        needs = []
        for name, version in _pairs(record, "deps", address):
            needs.append(Wish(name, "" if version == "latest" else version))
        for need in needs:
            need.check()
        return needs

    def _check_index(self) -> None:
        """Raise UsageError if the index is a folder that is missing."""
        if not is_url(self._index) and not Path(self._index).is_dir():
            raise UsageError(
                f"The index {self._index} is no folder here. Make it, or name another by --index: "
                "a folder, or the URL of a mirror."
            )

    def _beside(self, address: str, url: str) -> str:
        """Return where `url` is, which is relative to the folder of the package.json `address`.

        What the index has stays in it.
        """
        root = self._index
        if is_url(address):
            place = urljoin(address, url)
        else:
            root = os.path.abspath(root)
            place = os.path.abspath(posixpath.join(posixpath.dirname(address), url))
        if address.startswith(self._index + "/") and not place.startswith(root + "/"):
            raise ToolError(f"{address} names {url}, which is outside of the index {root}.")
        return place

    def _fetch(self, place: str, address: str) -> bytes:
        try:
            return self._fetcher.fetch(place)
        except NotThere as error:
            raise ToolError(f"{address} names a file that is missing. {error}") from error

    def _put(self, bundle: Bundle, target: str, data: bytes, address: str) -> None:
        parts = target.split("/")
        if not target or any(part in ("", ".", "..") for part in parts) or "\0" in target:
            raise ToolError(f"{address} wants a file at {target!r:.80}, outside of the folder.")
        if bundle.files.setdefault(target, data) != data:
            raise ToolError(f"Two packages have different files {target}; {address} is one.")


def _record(data: bytes, address: str) -> dict[str, Any]:
    try:
        record = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ToolError(f"{address} is no JSON.") from error
    if not isinstance(record, dict):
        raise ToolError(f"{address} is no package: it is no JSON object.")
    return record


def _pairs(record: dict[str, Any], key: str, address: str) -> list[tuple[str, str]]:
    found = record.get(key, [])
    if isinstance(found, list) and all(
        isinstance(pair, list) and len(pair) == 2 and all(isinstance(text, str) for text in pair)
        for pair in found
    ):
        return [(pair[0], pair[1]) for pair in found]
    raise ToolError(f"{address} is no package: {key} is no list of pairs.")
