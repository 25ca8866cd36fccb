"""Puts the user's files on a board before its first boot: single ones, or a folder as an
application, as `mqboard deploy` would have left it, confirmed.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from mqhost.deploy.application import Application
from mqhost.deploy.folder import read_folder
from mqhost.deploy.history import read_history
from mqhost.errors import UsageError
from mqhost.flash.partition import PartitionTable
from mqhost.remote.sync import wanted_tree
from mqhost.remote.trees import join, reader
from mqhost.sim.flash import Flash
from mqhost.sim.nvs import BLOB, Nvs
from mqwire import app

# Where a board remembers its application: mqboard.health.bootrecord, mqboard.apps.record.
_NAMESPACE, _KEY, _GOOD = b"mqboard", b"app", "good"


def read_application(folder: Path) -> Application:
    """Read the application in `folder`; UsageError if it is none."""
    source = read_folder(folder)
    return Application.make(source, read_history(source), None)


def files_of(application: Application) -> dict[str, bytes]:
    """Return the files that a board has of an application, by their paths there."""
    place = f"{app.FOLDER}/{application.id}"
    files = {f"{place}/{path}": data for path, data in application.files.items()}
    return {f"{place}.json": application.manifest} | files


def note(application: Application, flash: Path, table: PartitionTable) -> None:
    """Have the board with the flash file `flash`, which has its files, run an application."""
    record = json.loads(application.manifest)
    now = {word: record[word] for word in ("name", "version", "seq", "committed")}
    told = {"state": _GOOD, "seq": 0, "now": {"id": application.id} | now}
    opened = Flash(flash)
    try:
        store = Nvs(opened, table.find("nvs"))
        store.set(_NAMESPACE, _KEY, BLOB, json.dumps(told).encode())
    finally:
        opened.close()


def local_files(wanted: Mapping[str, bytes | str | Path], root: Path) -> dict[str, bytes]:
    """Return contents by path on the board. `wanted` has these as bytes, or names files and folders
    of this machine, from `root`. UsageError for what is not there.
    """
    files: dict[str, bytes] = {}
    for path, content in wanted.items():
        if not path.startswith("/"):
            raise UsageError(f"{path!r} is no path on a board: it begins with /, as /app/pump.py.")
        if isinstance(content, bytes):
            files[path] = content
        else:
            places = places_of(root / content, path)
            files |= {path: reader(place)() for path, place in places.items()}
    return files


def places_of(place: Path, path: str) -> dict[str, Path]:
    """Return where on this machine what is: the file `place` as `path`, or all that is in it."""
    if not place.is_dir():
        return {path: place}
    return {join(path, name): file for name, file in wanted_tree(place)[1].items()}
