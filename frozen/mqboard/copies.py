"""Keeps copies of certificates and keys in NVS, beside the last good configuration: a board that
lost its filesystem still finds a broker that it trusts.

Those of the first broker are made of the files that it was reached with. The fall-back broker is
seldom reached: of files that only it has, copies are made without that proof, and stay while it is
missing and the path is the same. NVS is small: these have what the others leave of _ROOM.
"""

import os

from esp32 import NVS
from micropython import const

from mqboard.health.bootrecord import NAMESPACE, Store
from mqwire.config import MAX_KEPT

_ENOENT = const(2)
_ROOM = const(6000)  # bytes; as much is needed to keep a new configuration beside the old one
_NAMES = ("ca", "cert", "key")  # attributes of the configuration, and keys in NVS
_OTHER = "2"  # behind the key of what only the fall-back broker has


def sources(broker):
    """Return CA, certificate and key of `broker`: for files, what NVS has of them, or None."""
    store = Store(NVS(NAMESPACE))
    first = getattr(broker, "first", None)
    found = []
    for name in _NAMES:
        source = getattr(broker, name)
        if _is_path(source):
            source = _get(store, _key(name, source, first), source)
        found.append(source)
    return found


def unkept(config):
    """Return the paths of the files that `config` names and that are too large to be kept."""
    room = _ROOM
    paths = []
    for key, path in _files(config):
        try:
            size = os.stat(path)[6]
        except OSError:
            continue
        if size > MAX_KEPT or key not in _NAMES and size + len(path) >= min(room, MAX_KEPT):
            paths.append(path)
        else:
            room -= size
    return paths


def keep(config, brokers, store, log):
    """Copy the files to NVS, once the board has reached a broker: the first, or that of `brokers`.

    When it did so with the copies, these stay: a file may be damaged.
    """
    fallen_back = brokers and brokers.fallen_back
    too_large = unkept(config)
    obsolete = [name + _OTHER for name in _NAMES]
    for key, path in _files(config):
        if key in obsolete:
            obsolete.remove(key)
            broker = brokers.pairs[1][0] if fallen_back else None
        elif fallen_back:  # nobody knows whether they are any good
            continue
        else:
            broker = config
        try:
            if path in too_large:
                raise OSError("it is too large")
            _keep(key, path, store, log, broker)
        except (OSError, ValueError, MemoryError) as error:  # NVS is full; not PEM
            log.error("%s cannot be kept in NVS: %s", path, error)
    for key in obsolete:
        store.erase(key)


def _keep(key, path, store, log, proved):
    """Copy one file; `proved` is the broker that was just reached, None if it is not known."""
    kept = _get(store, key, path)
    try:
        with open(path) as file:
            text = file.read()
    except OSError as error:
        if not kept or error.errno != _ENOENT:
            raise
        from mqboard.config import write_back  # see mqboard.seldom

        write_back(path, kept, log)
        return
    if kept == text or kept and not proved:
        return
    if proved and proved.copies:
        raise OSError("the broker was reached with the copy that is there")
    store.set(key, text if key in _NAMES else path + "\n" + text)


def _files(config):
    """Return (key in NVS, path) of the files of both brokers."""
    found = []
    other = config.fallback
    for name in _NAMES:
        path = getattr(config, name)
        if config.tls and _is_path(path):
            found.append((name, path))
    for name in _NAMES if other and other["tls"] else ():
        key = _key(name, other[name], config)
        if key != name and _is_path(other[name]):
            found.append((key, other[name]))
    return found


def _key(name, path, first):
    """Return the key in NVS for a file of a broker; `first`: the first one, if this is another."""
    shared = not first or first.tls and getattr(first, name) == path
    return name if shared else name + _OTHER


def _get(store, key, path):
    text = store.get(key, MAX_KEPT)
    if text and key not in _NAMES:  # with the path that it is a copy of
        of, _, text = text.partition("\n")
        return text if of == path else None
    return text


def _is_path(source):
    return source and "-----BEGIN" not in source  # otherwise it stands in the configuration
