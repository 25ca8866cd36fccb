"""Reads the board's configuration from /config.json, which is data, by mqwire.rules.

The last configuration that reached the broker is kept in NVS as well, so that a damaged file or
filesystem does not cut the board off. A board that ran with a configuration must still run with it:
what is only doubtful in it is complained about in the log.
"""

import json
import os

from micropython import const

from mqwire.config import MAX_KEPT

PATH = "/config.json"
_ENOENT = const(2)
_EEXIST = const(17)


class ConfigError(Exception):
    """Raised when the configuration cannot be used; the text names the key."""


class Config:
    """A configuration: its values as attributes (mqwire.config.KEYS), and `text`, the JSON it came
    from, until it is kept as a good one; `complaint` is "" or says what is doubtful in it."""

    # In the class while it is so, and not in each object.
    missing = ""  # the path of its file, when that is gone and this is the copy
    trial = False  # this boot tries it, see mqboard.health.configtrial
    came_back = False  # the boot before tried another one, which failed
    kept = False  # NVS has this very one as the last good one
    app = ""  # the folder of the application that runs (mqboard.apps); it adds to `modules`
    app_trial = False  # this boot tries it, and
    app_modules = ()  # the names of its modules


def parse(text):
    """Return the Config that `text` says; raise ConfigError."""
    from mqwire.rules import FAULT, read  # not to stay, see mqboard.startup

    try:
        root = decode(text)
    except ValueError as error:
        raise ConfigError(str(error))
    config = Config()
    config.text = text
    wrong = read(root, config)
    config.complaint = "; ".join(["%s %s" % (key, what) for _, key, what in wrong])
    if any([severity == FAULT for severity, _, _ in wrong]):
        raise ConfigError(config.complaint)
    return config


def decode(text):
    """Return what the JSON `text` says; raise ValueError."""
    try:
        value = json.loads(text)
    except ValueError:
        raise ValueError("not JSON")
    try:
        # MicroPython takes one that is cut short, and what closes it. Behind a whole one nothing
        # may follow.
        json.loads(text + "}")
    except ValueError:
        return value
    raise ValueError("not JSON: the end is missing")


def load(path, store, text=None):
    """Return (Config, complaint): of the file `path`, or of `text` if it is given. The last good
    configuration of `store` stands in for a bad file.

    `complaint` is "" or says what is wrong with the file, or doubtful. Raises ConfigError when
    neither serves.
    """
    missing = ""
    try:
        if text is None:
            with open(path) as file:
                text = file.read()
        config = parse(text)
        return config, config.complaint and "%s: %s" % (path, config.complaint)
    except (OSError, ValueError, MemoryError) as error:  # no UTF-8, or no end of it
        if isinstance(error, OSError) and error.errno == _ENOENT:
            missing = path
        complaint = "%s: %s" % (path, "is missing" if missing else "cannot be read")
    except ConfigError as error:
        complaint = "%s: %s" % (path, error)
    text = store.get("config", MAX_KEPT)
    if text is None:
        raise ConfigError(complaint)
    config = parse(text)
    config.missing = missing
    return config, complaint + "; using the last good configuration"


def replace(path, text):
    """Write the file `path`, which appears whole or not at all. Raises OSError."""
    for end in range(1, len(path)):
        if path[end] == "/":
            _make_folder(path[:end])
    try:
        with open(path + ".new", "w") as file:
            file.write(text)
        os.rename(path + ".new", path)
    except OSError:
        try:
            os.remove(path + ".new")  # a full filesystem has no room for half a file
        except OSError:
            pass
        raise


def write_back(path, text, log):
    """Write the file `path` anew from its copy in NVS: it is gone, as with a new filesystem."""
    try:
        replace(path, text)
        log.warning("%s was missing: written back from its copy in NVS", path)
    except (OSError, MemoryError) as error:
        log.error("%s is missing and cannot be written back: %s", path, error)


def _make_folder(path):
    try:
        os.mkdir(path)
    except OSError as error:
        if error.errno != _EEXIST:
            raise
