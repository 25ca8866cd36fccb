"""Loads the broker's CA, our certificate and its key from files, and keeps copies in NVS beside the
last good configuration: a board that lost its filesystem still finds a broker that it trusts.

A kept copy is used when a file cannot be read or has no certificate in it.
"""

from esp32 import NVS
from micropython import const

from mqwire.config import MAX_KEPT

_ENOENT = const(2)
_NAMES = ("ca", "cert", "key")  # attributes of the configuration, and keys in NVS


def loader(settings, log):
    """Return the function that makes the SSLContext, for mqboard.net.opener."""

    def make_context():
        from mqboard.net import tls  # only a board with TLS needs it

        sources = [getattr(settings, name) for name in _NAMES]
        settings.copies = False  # whether these are what we reach the broker with
        try:
            return tls.make_context(*sources, verify=settings.verify)
        except OSError as error:
            if settings.trial:  # it is to prove itself, not its copies
                raise
            from mqboard.health.bootrecord import NAMESPACE, Store  # see mqboard.seldom

            store = Store(NVS(NAMESPACE))
            kept = list(sources)
            for index, name in enumerate(_NAMES):
                if _is_path(kept[index]):
                    kept[index] = store.get(name, MAX_KEPT)
            if kept == sources or not any(kept):
                raise
            log.error("%s; using what was kept", error)
            settings.copies = True
            return tls.make_context(*kept, verify=settings.verify)

    return make_context


def setting_clock(opener, clock, server, link):
    """Return an opener like `opener`, for which the clock is set when a wrong one was to blame.

    See mqboard.timesync.doubt.
    """
    from mqboard.net.tls import ValidityError

    async def open_and_ask():
        try:
            return await opener()
        except ValidityError:
            from mqboard.timesync import doubt

            await doubt(clock, server, link)
            raise

    return open_and_ask


def keep(settings, store, log):
    """Copy the files to NVS, once the board has reached its broker with them.

    When it did so with the copies, these stay: a file may be damaged.
    """
    for name in _NAMES:
        path = getattr(settings, name)
        if not _is_path(path):
            continue
        try:
            _keep(name, path, store, log, settings.copies)
        except (OSError, ValueError, MemoryError) as error:  # too large; not PEM
            log.error("%s cannot be kept in NVS: %s", path, error)


def _keep(name, path, store, log, proved):
    kept = store.get(name, MAX_KEPT)
    try:
        with open(path) as file:
            text = file.read()
    except OSError as error:
        if not kept or error.errno != _ENOENT:
            raise
        from mqboard.config import write_back  # see mqboard.seldom

        write_back(path, kept, log)
        return
    if kept != text:
        if proved:
            raise OSError("the broker was reached with the copy that is there")
        store.set(name, text)


def _is_path(source):
    return source and "-----BEGIN" not in source  # otherwise it stands in the configuration
