"""Tries a new configuration as an image is tried: the next boot uses it; once the board is
reachable with it, it is the last good one, otherwise the one before it is written back.

The candidate is the file itself. NVS has the last good one until that moment, and a mark of it:

    {"id", "hash", "begun": false}   before the file is replaced; id is the command's that did it
    {"id", "hash", "begun": true}    a boot uses it: should there be another one, it has failed
    {"id", "hash", "code", "reason"} it has failed (mqwire.codes): what the birth message says

"first" stands beside them when there was none before it: to fail then means to have none again.

Power may go between any two steps. What the mark is worth tells the hash: that of the candidate.
This is loaded only while there is a mark, or a configuration is sent.
"""

import binascii
import hashlib
import json

from mqboard.config import replace
from mqboard.health.bootrecord import Trial, parse
from mqwire import codes
from mqwire.config import MAX_KEPT

MARK = "config_trial"
LAST = "config_id"  # that of the last one that proved good
PREVIOUS = "/config.old.json"  # the last good one before it
_REASON_MAX = 100  # characters


def begin(store, path, text, ident):
    """Have the next boot try `text`; raises OSError and MemoryError, and then it is as it was."""
    store.erase("why")
    mark = {"id": ident, "hash": _hash(text), "begun": False}
    if store.get("config", MAX_KEPT) is None:
        mark["first"] = True
    store.set(MARK, json.dumps(mark))
    try:
        replace(path, text)
    except (OSError, MemoryError):
        store.erase(MARK)
        raise


def resolve(store, path, reset_cause, log):
    """Find out at boot what the mark means. Return what the birth message says of it, or None; and
    the configuration to use, or None for the file as ever.
    """
    mark = parse(store.get(MARK), dict) or {}
    text = _read(path)
    mine = text is not None and _hash(text) == mark.get("hash")
    good = store.get("config", MAX_KEPT)
    if good is None and mark.get("first"):
        good = _setup_of(text)
    elif good is None:  # nothing to go back to
        store.erase(MARK)
        return None, None
    if _hash(good) == mark.get("hash"):  # it proved good, and power went then
        _confirmed(store, mark)
        return None, None
    if "begun" in mark:
        if not mark["begun"] and not mine:  # power went before the file was replaced
            store.erase(MARK)
            return None, None
        if not mark["begun"]:
            mark["begun"] = True
            try:
                store.set(MARK, json.dumps(mark))
                return {"id": mark.get("id"), "state": "trial"}, text
            except OSError as error:  # if it were tried now, nobody would know it next time
                why = codes.FLASH_ERROR, "NVS: %s" % error
        else:
            why = Trial(store).why(reset_cause)
        del mark["begun"]
        mark["code"], mark["reason"] = why[0], str(why[1])[:_REASON_MAX]
        Trial(store).note(MARK, mark)
    if mine:
        log.error("the new configuration failed: %s", mark.get("reason"))
        try:
            replace(path, good)
        except (OSError, MemoryError) as error:  # the next boot tries it again
            log.error("%s cannot be written back: %s", path, error)
    failed = {"id": mark.get("id"), "state": "failed"}
    failed["code"], failed["reason"] = mark.get("code"), mark.get("reason")
    return failed, good if mine else None


def keep(store, text, log):
    """Make `text`, which is on trial and proved good, the last good one. Raises OSError."""
    previous = store.get("config", MAX_KEPT)
    try:
        if previous:
            replace(PREVIOUS, previous)
    except (OSError, MemoryError) as error:  # it cannot be gone back to by command, that is all
        log.error("%s cannot be written: %s", PREVIOUS, error)
    store.set("config", text)  # from here on it is
    _confirmed(store, parse(store.get(MARK), dict) or {})


def _confirmed(store, mark):
    Trial(store).note(LAST, mark.get("id"))
    store.erase(MARK)


def _read(path):
    try:
        with open(path) as file:
            return file.read()
    except (OSError, ValueError, MemoryError):
        return None


def _setup_of(text):
    """Return what stays of the first configuration when it fails: how to get another one."""
    root = parse(text, dict) or {}
    return json.dumps({key: root[key] for key in ("setup", "update") if key in root})


def _hash(text):
    return str(binascii.hexlify(hashlib.sha256(text.encode()).digest()), "utf-8")
