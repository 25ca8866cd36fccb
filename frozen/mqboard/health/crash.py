"""Keeps a record of each boot that ended badly, in flash, until somebody clears it.

`note` makes it, at the next boot, of what that one left in RTC memory (health.lastwords). It is a
JSON file of its own, the same crash again a higher count in it; the oldest one goes. When the
filesystem takes nothing, the last one is kept in NVS. A board that crashes again and again does not
wear out its flash: it notes a crash each five minutes it was up, and a dozen in advance.

Loaded when there is something to do, and not kept: most boards have no records.
"""

import hashlib
import json
import os

from micropython import const

from mqboard.health import blackbox
from mqwire.crash import EXCEPTION, RESET, WATCHDOG

FOLDER = "/crash"

_MOST = const(5)  # records
_SIZE_MAX = const(4000)  # bytes of one: it is one message
_NVS_MAX = const(1200)
_KEY = "crash"  # in NVS
_COST_S = const(300)
_CREDIT_S = const(3600)
_TYPES = (  # of what a record must have
    ("number", int),
    ("times", int),
    ("signature", str),
    ("published", bool),
    ("log", str),
    ("traceback", (str, type(None))),
)


class Records:
    """The records in `folder`, and the one in `store` (health.bootrecord.Store)."""

    def __init__(self, folder, store):
        self._folder = folder
        self._store = store

    def numbers(self):
        """Return the numbers of all records, the oldest first."""
        numbers = set()
        for name in self._names():
            number, _, end = name.partition(".")
            if end == "json" and number.isdigit():
                numbers.add(int(number))
        spare = self._spare()
        if spare:
            numbers.add(spare["number"])
        return sorted(numbers)

    def read(self, number):
        """Return a record, or None: it cannot be read."""
        try:
            with open(self._path(number)) as file:
                return _parse(file.read())
        except (OSError, ValueError):
            spare = self._spare()
            return spare if spare and spare["number"] == number else None

    def add(self, record):
        """Keep a new record, in place of those of the same crash and of what is too many."""
        others, same = [], []
        for number in self.numbers():
            old = self.read(number)
            if old and old["signature"] == record["signature"]:
                record["times"] = max(record["times"], old["times"] + 1)
                same.append(number)
            else:
                others.append(number)
        record["number"] = max(same + others + [0]) + 1
        while not self._write(record) and others:
            self._remove(others.pop(0))  # that makes room
        for number in same + others[: 1 - _MOST]:
            self._remove(number)

    def save(self, record):
        """Keep a record that was changed, if it was not cleared meanwhile."""
        if record["number"] in self.numbers():
            self._write(record)

    def clear(self):
        """Forget all records; return how many there were."""
        count = len(self.numbers())
        for name in self._names():
            _remove_file(self._folder + "/" + name)
        self._store.erase(_KEY)
        return count

    def _write(self, record):
        """Write the file of a record, whole or not at all. Return whether that could be; if not,
        it is in NVS.
        """
        path = self._path(record["number"])
        try:
            if not self._names():
                _make_folder(self._folder)
            with open(path + ".new", "w") as file:
                file.write(_dump(record, _SIZE_MAX))
            os.rename(path + ".new", path)
        except OSError:
            _remove_file(path + ".new")
            self._store.set(_KEY, _dump(record, _NVS_MAX))
            return False
        spare = self._spare()
        if spare and spare["number"] == record["number"]:
            self._store.erase(_KEY)
        return True

    def _remove(self, number):
        spare = self._spare()
        if spare and spare["number"] == number:
            self._store.erase(_KEY)
        _remove_file(self._path(number))

    def _spare(self):
        """Return the record in NVS, or None."""
        return _parse(self._store.get(_KEY) or "")

    def _names(self):
        try:
            return os.listdir(self._folder)
        except (OSError, ValueError):
            return []

    def _path(self, number):
        return "%s/%d.json" % (self._folder, number)


def note(before, me, records):
    """Keep a record of the boot that left `before` (health.lastwords), unless there were too many
    lately. Return what that comes to, in seconds, for the next boot. Raises OSError, MemoryError.

    `me` is the mqboard.identity of this boot.
    """
    spent_s = owed_s(before)
    if spent_s + _COST_S <= _CREDIT_S:
        spent_s += _COST_S
        records.add(describe(before, me))
    return spent_s


def owed_s(before):
    """Return what is left of the seconds that records cost, after the boot that left `before`."""
    return max(0, before.spent_s - before.uptime_s)


def describe(before, me):
    """Return the record of the boot that left `before`."""
    # The watchdog may bite while an exception is noted.
    if before.trace or before.end == blackbox.FULL:
        kind = EXCEPTION
    else:
        kind = WATCHDOG if me.reset_cause == "watchdog" else RESET
    # Each command has another id.
    command, _, rest = before.running.partition(" ")
    what = rest.partition(" ")[2] if command in ("eval", "exec") else before.running
    image = "".join(["%02x" % byte for byte in before.image])
    version = None
    if image and me.image.startswith(image):
        version = me.version
    elif image and me.failed and str(me.failed.get("image")).startswith(image):
        version = me.failed.get("version")  # the image that was rolled back
    digest = hashlib.sha256(("%s %s %s" % (kind, what, before.trace)).encode()).digest()
    return {
        "times": 1,
        "kind": kind,
        "running": before.running or None,
        "reset_cause": me.reset_cause,
        "uptime_s": before.uptime_s,
        "heap_free": before.heap_free or None,  # it ended before that was noted
        "mode": "safe" if before.safe else "normal",
        "image": image,
        "version": version,
        "traceback": before.trace or None,
        "log": before.lines,
        "published": False,
        "signature": "".join(["%02x" % byte for byte in digest[:4]]),
    }


async def publish(records, send, topic):
    """Publish the records that were not, each until the broker has acknowledged it."""
    for number in records.numbers():
        record = records.read(number)
        if not record or record["published"]:
            continue
        public = {key: record[key] for key in record if key not in ("published", "signature")}
        if await send(topic, _dump(public, _SIZE_MAX).encode(), qos=1):
            record["published"] = True
            records.save(record)


def _dump(record, most):
    """Return `record` as JSON, of at most `most` bytes: texts lose their beginnings."""
    record = dict(record)
    while True:
        text = json.dumps(record)
        log, trace = record["log"], record["traceback"] or ""
        if len(text.encode()) <= most or not (log or trace):
            return text
        if len(log) >= len(trace):
            record["log"] = log[len(log) // 4 + 1 :]
        else:
            record["traceback"] = trace[len(trace) // 4 + 1 :]


def _make_folder(path):
    try:
        os.mkdir(path)
    except OSError:
        pass  # it is there; or what comes next says why it cannot be


def _remove_file(path):
    try:
        os.remove(path)
    except OSError:
        pass  # it is not there; or it stays, and is read as it was


def _parse(text):
    """Return the record that `text` says, None if it says none."""
    try:
        record = json.loads(text)
    except ValueError:
        return None
    if not isinstance(record, dict):
        return None
    for key, kind in _TYPES:
        if key not in record or not isinstance(record[key], kind):
            return None
    return record
