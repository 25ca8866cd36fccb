"""Reads an application's manifest, which is a file on the board: checks what it says.

Its list of files comes last and is read row by row: a hundred of them, taken apart, would fill half
of a board's heap.
"""

import binascii
import hashlib
import json

from micropython import const

from mqboard.update.errors import Refusal
from mqwire import WireError, app, codes

_PIECE = const(512)


class Manifest:
    """The manifest of the application `ident`: `beginning` (bytes, without the list of files),
    `name`, `version`, `seq`, `committed`, `modules` (settings by name).

    Raises OSError when there is none, Refusal(MALFORMED) for what is not as it must be.
    """

    def __init__(self, ident):
        self.id = ident
        self._path = path_of(ident)
        data = b""
        with open(self._path, "rb") as file:
            while app.FILES not in data:
                piece = file.read(_PIECE)
                if not piece or len(data) > app.MAX_BEGINNING:
                    raise Refusal(codes.MALFORMED, "no list of files")
                data += piece
        self.beginning = data[: data.find(app.FILES)]
        try:
            fields = json.loads(str(self.beginning, "utf-8") + "}")
            if fields["format"] != app.FORMAT or fields["kind"] != app.KIND:
                raise ValueError("unknown format or kind")
            self.name = _typed(fields["name"], str)
            self.version = _typed(fields["version"], str)
            app.check_word(self.name)
            app.check_word(self.version)
            self.seq = _typed(fields["seq"], int)
            self.committed = fields["committed"] is True
            self.modules = _typed(fields["modules"], dict)
        except (WireError, ValueError, KeyError, TypeError, RuntimeError, AttributeError) as error:
            # RuntimeError: nested too deeply.
            raise Refusal(codes.MALFORMED, str(error))

    def entry(self):
        """Return what mqboard.apps.record keeps of it."""
        names = ("id", "name", "version", "seq", "committed")
        return {name: getattr(self, name) for name in names}

    def rows(self):
        """Yield of each file, in their order: path, bytes, SHA-256 as hex text. Raises OSError;
        Refusal(MALFORMED) where that is not what stands there.
        """
        with open(self._path, "rb") as file:
            file.seek(len(self.beginning) + len(app.FILES))
            data = b""
            while True:
                stop = data.find(app.BETWEEN)
                if stop >= 0:
                    yield _row(data[:stop])
                    data = data[stop + len(app.BETWEEN) :]
                    continue
                piece = file.read(_PIECE)
                if not piece:
                    break
                data += piece
                if len(data) > 2 * _PIECE + 4 * app.MAX_PATH:
                    raise Refusal(codes.MALFORMED, "a row of files is too long")
        if data[-len(app.END) :] != app.END:
            raise Refusal(codes.MALFORMED, "the end is missing")
        yield _row(data[: -len(app.END)])

    def chosen(self, numbers):
        """Yield number, path, bytes and SHA-256 of those files whose `numbers`, a list in order,
        say so.
        """
        position = 0
        for number, (path, size, sha256) in enumerate(self.rows()):
            if position < len(numbers) and numbers[position] == number:
                position += 1
                yield number, path, size, sha256

    def names(self, folder, names):
        """Return which of `names` are in a folder of it, "" or one that ends in /: {name: whether
        it is a folder}.
        """
        found = {}
        for path, _, _ in self.rows():
            if path.startswith(folder):
                name, slash, _ = path[len(folder) :].partition("/")
                if name in names:
                    found[name] = bool(slash)
        return found

    def own_modules(self, names):
        """Return those of the modules `names` that it brings."""
        own = [name for name in names if name in self.modules]
        for path, _, _ in self.rows():
            for name in names:
                if path in app.module_files(name) and name not in own:
                    own.append(name)
        return own

    def check(self):
        """Raise Refusal(MALFORMED) unless its modules and its files are as they must be."""
        what, before = "", ""
        try:
            for name in self.modules:
                what = "module %s" % (name,)
                app.check_module(name)
            for path, size, sha256 in self.rows():
                what = "file " + path
                app.check_path(path)
                if before and app.order(path) <= app.order(before):
                    raise WireError("it is there twice, or not in order")
                if path.startswith(before + "/"):
                    raise WireError("its folder is a file, too")
                if size < 0:
                    raise WireError("its size is below 0")
                what = "the sha256 of " + what
                app.check_hex(sha256, app.HASH_SIZE)
                before = path
        except WireError as error:
            raise Refusal(codes.MALFORMED, "%s: %s" % (what, error))


def digest(ident):
    """Return the SHA-256 of a manifest. Raises OSError when there is none."""
    found = hashlib.sha256()
    with open(path_of(ident), "rb") as file:
        while True:
            piece = file.read(_PIECE)
            if not piece:
                return found.digest()
            found.update(piece)


def id_of(digest):
    """Return the id of the application whose manifest has that SHA-256."""
    return str(binascii.hexlify(digest), "ascii")[: app.ID_SIZE]


def path_of(ident):
    """Return where the manifest of the application `ident` is."""
    return "%s/%s.json" % (app.FOLDER, ident)


def _row(data):
    # Between the quotes that begin a path and end a hash.
    try:
        path, size, sha256 = json.loads('["' + str(data, "utf-8") + '"]')
        return _typed(path, str), _typed(size, int), _typed(sha256, str)
    except (ValueError, TypeError, RuntimeError) as error:
        raise Refusal(codes.MALFORMED, "a row of files: %s" % error)


def _typed(value, kind):
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError("not a " + kind.__name__)
    return value
