"""Says what an application's manifest looks like, and which names and paths are possible in it, as
far as both ends decide by it.

A manifest is one JSON object. Like an offer it begins with its format and the name of the key that
signs it (mqwire.offer), so that a board finds these before it parses the rest.
"""

from mqwire import WireError

KIND = "app"  # the value of "kind": no offer of an image is taken for an application
FORMAT = 1
FOLDER = "/apps"  # on the board: an application's files are in FOLDER/<id>, it is in <id>.json
ID_SIZE = 16  # hex digits: how the SHA-256 of the manifest's bytes begins
MAX_WORD = 32  # characters of a name, and of a version
MAX_PATH = 160  # bytes of UTF-8
HASH_SIZE = 64  # hex digits of a SHA-256
# The list of files comes last, without spaces, each row as "path",bytes,"SHA-256 in hex", so that a
# board can read it row by row. Within a text of JSON none of these can stand: there a quote has a
# backslash before it.
FILES = b',"files":[["'
BETWEEN = b'"],["'
END = b'"]]}'
MAX_BEGINNING = 4000  # bytes of a manifest before them: as much as of a configuration
SCRIPT = "main.py"  # at an application's top it is the module `main`

# States of an application, as the birth message has them.
CONFIRMED = "confirmed"
TRIAL = "trial"
STOPPED = "stopped"  # the board is in safe mode
MISSING = "missing"  # its files are gone
NONE = "none"  # no application: the first one failed

_WORD = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.+_-"
_HEX = "0123456789abcdef"
_NAME_MAX = 255  # bytes of one level, in LittleFS


def check_word(text):
    """Raise WireError unless `text` can be the name or the version of an application."""
    if not text or len(text) > MAX_WORD:
        raise WireError("it has %d characters; 1 to %d are possible" % (len(text), MAX_WORD))
    for character in text:
        if character not in _WORD:
            raise WireError("it has a character in it that is no letter, digit, or . + - _")


def check_path(path):
    """Raise WireError unless `path` is that of a file within a folder: "lib/pump.py"."""
    size = len(path.encode("utf-8", "surrogatepass"))
    if not 0 < size <= MAX_PATH:
        raise WireError("it has %d bytes; 1 to %d are possible" % (size, MAX_PATH))
    for level in path.split("/"):
        if level in ("", ".", ".."):
            raise WireError("a level of it is empty, . or ..")
        if len(level.encode("utf-8", "surrogatepass")) > _NAME_MAX:
            raise WireError("a level of it has more than %d bytes" % _NAME_MAX)
    for character in path:
        if ord(character) < 0x20 or ord(character) == 0x7F or 0xD800 <= ord(character) < 0xE000:
            raise WireError("it has a character in it that does not show")


def check_hex(text, size):
    """Raise WireError unless `text` has so many hex digits, as ids and hashes are written."""
    if len(text) != size or any([digit not in _HEX for digit in text]):
        raise WireError("it must have %d digits, of 0-9 and a-f" % size)


def check_module(name):
    """Raise WireError unless `name` can be that of a module: "pump", "pump.control"."""
    levels = name.split(".") if isinstance(name, str) else [""]
    if "" in levels or name[0] == "_" or "/" in name or "\\" in name:
        raise WireError("no module can be called so; a name is as pump or pump.control")


def order(path):
    """Return the key by which files are in order: what is in a folder comes one behind the other,
    and before all other names that begin like the folder's.
    """
    return path.replace("/", "\x01")


def module_files(name):
    """Return the paths of files of which one makes a module of that name, in an application."""
    if name == "main":
        return (SCRIPT,)
    path = name.replace(".", "/")
    forms = (path + "/__init__.py", path + "/__init__.mpy", path + ".py", path + ".mpy")
    return forms + tuple(["lib/" + form for form in forms])
