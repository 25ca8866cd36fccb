"""Reads an application's manifest: checks what it says, and gives it its id."""

import binascii
import hashlib
import json

from micropython import const

from mqboard.update.errors import Refusal
from mqwire import WireError, app, codes

_DIGITS = const(64)  # of a SHA-256


class Manifest:
    """What the bytes of a manifest say: `id`, `name`, `version`, `seq`, `committed`, `modules`
    (settings by name), `files`: [path, bytes, SHA-256 as hex text] each. Raises
    Refusal(MALFORMED) for what is not as it must be.
    """

    def __init__(self, data):
        self.id = str(binascii.hexlify(hashlib.sha256(data).digest()), "ascii")[: app.ID_SIZE]
        try:
            fields = json.loads(str(data, "utf-8"))
            if fields["format"] != app.FORMAT or fields["kind"] != app.KIND:
                raise ValueError("unknown format or kind")
            self.name = _typed(fields["name"], str)
            self.version = _typed(fields["version"], str)
            app.check_word(self.name)
            app.check_word(self.version)
            self.seq = _typed(fields["seq"], int)
            self.committed = fields["committed"] is True
            self.modules = _typed(fields["modules"], dict)
            self.files = _typed(fields["files"], list)
            self._check_files()
        except (WireError, ValueError, KeyError, TypeError, RuntimeError, AttributeError) as error:
            # RuntimeError: nested too deeply.
            raise Refusal(codes.MALFORMED, str(error))

    def entry(self):
        """Return what mqboard.apps.record keeps of it."""
        names = ("id", "name", "version", "seq", "committed")
        return {name: getattr(self, name) for name in names}

    def folders(self):
        """Return the paths of all folders in it, each after the one that it is in."""
        found = set()
        for path, _, _ in self.files:
            for end in range(len(path)):
                if path[end] == "/":
                    found.add(path[:end])
        return sorted(found)

    def has_module(self, name):
        """Return whether the module `name` is one of its own."""
        if name in self.modules:
            return True
        forms = app.module_files(name)
        return any([path in forms for path, _, _ in self.files])

    def _check_files(self):
        if not self.files:
            raise ValueError("no files")
        seen = set()
        for path, size, sha256 in self.files:
            app.check_path(_typed(path, str))
            if _typed(size, int) < 0 or len(_typed(sha256, str)) != _DIGITS:
                raise ValueError("size or sha256 of " + path)
            if path in seen:
                raise ValueError("twice: " + path)
            seen.add(path)
        for folder in self.folders():
            if folder in seen:
                raise ValueError("a file and a folder: " + folder)


def read(ident):
    """Return the Manifest of the application `ident`; raise OSError or Refusal if it is gone."""
    with open("%s/%s.json" % (app.FOLDER, ident), "rb") as file:
        return Manifest(file.read())


def _typed(value, kind):
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError("not a " + kind.__name__)
    return value
