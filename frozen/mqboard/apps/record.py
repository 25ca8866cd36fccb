"""Remembers in NVS which application runs, which one was before it, and whether it is on trial.

It is one value, so that one write switches: whenever power goes, the board has the old one or the
new one, whole. An application goes by its id, which names its folder (mqwire.app).

    state "new"     it was switched to; the boot that begins with it makes it
          "trial"   a boot uses it: should there be another one, it has failed, and
          "good"    the one before it runs; or it proved good.
"""

import json

from micropython import const

from mqboard.health.bootrecord import Trial, parse, shortened
from mqwire import codes

KEY = "app"
TRACE = "app_trace"  # what a module of the one that failed died of, as text

NEW = "new"
ON_TRIAL = "trial"
GOOD = "good"

_REASON_MAX = const(120)  # characters; all of it must fit what the store gives
_TRACE_MAX = const(1000)  # characters
_WORDS = ("id", "name", "version")


class Record:
    """What `store` (health.bootrecord.Store) says: `now` runs, `before` ran before that, `older`
    is what was before that one, while `now` is on trial: each {"id", "name", "version", "seq",
    "committed"} or None. `seq`: the highest that was confirmed. `failed`: the last one that was
    gone back from, as "now" with "code" and "reason", or None.
    """

    def __init__(self, store):
        self._store = store
        table = parse(store.get(KEY), dict) or {}
        self.now = _entry(table.get("now"))
        self.before = _entry(table.get("before"))
        self.older = _entry(table.get("older"))
        self.failed = _entry(table.get("failed"))
        self.state = table.get("state", GOOD)
        self.seq = _number(table.get("seq"))

    def keep(self):
        """Write all of it at once. Raises OSError, and then NVS has what it had."""
        table = {"state": self.state, "seq": self.seq}
        for name in ("now", "before", "older", "failed"):
            if getattr(self, name):
                table[name] = getattr(self, name)
        self._store.set(KEY, json.dumps(table))

    def ids(self):
        """Return the ids of those whose files are needed."""
        return [entry["id"] for entry in (self.now, self.before, self.older) if entry]

    def switch(self, entry):
        """Have the next boot try the application `entry`. Raises OSError."""
        self._store.erase("why")  # of a trial before this one
        self._store.erase(TRACE)
        # Otherwise its files were gone and are back, or what was switched to was never tried.
        if self.now and self.now["id"] != entry["id"] and self.state == GOOD:
            self.older, self.before = self.before, self.now
        self.now = entry
        self.state = NEW
        self.keep()

    def resolve(self, safe, reset_cause, log):
        """Find out at boot what the trial came to; return whether this boot went back."""
        if self.state == NEW:
            if safe:
                return False
            self.state = ON_TRIAL
            try:
                self.keep()
                return False
            except OSError as error:  # if it were tried now, nobody would know it next time
                why = codes.FLASH_ERROR, "NVS: %s" % error
        elif self.state == ON_TRIAL:
            why = Trial(self._store).why(reset_cause)
        else:
            return False
        self._go_back(why)
        log.error("the new application failed: %s", self.failed["reason"])
        try:
            self.keep()
        except OSError as error:  # the next boot finds out anew
            log.error("NVS: %s", error)
        return True

    def confirm(self):
        """Note that the one on trial proved good. Raises OSError."""
        self.state = GOOD
        self.older = self.failed = None
        if self.now["committed"]:
            self.seq = max(self.seq, self.now["seq"])
        self.keep()

    def keep_trace(self, text):
        """Note what a module of the application on trial died of; not so when NVS is full."""
        try:
            self._store.set(TRACE, text[-_TRACE_MAX:])
        except OSError:
            pass

    def trace(self):
        """Return what a module of the one that failed died of, as text; "": nothing is known."""
        return self._store.get(TRACE, 4 * _TRACE_MAX) or ""

    def _go_back(self, why):
        self.failed = {word: self.now[word] for word in _WORDS}
        reason = "".join([letter if letter >= " " else " " for letter in str(why[1])])
        self.failed["code"], self.failed["reason"] = why[0], shortened(reason, _REASON_MAX)
        self.now, self.before, self.older = self.before, self.older, None
        self.state = GOOD


def _entry(value):
    """Return an application's entry, or None if it is none."""
    if not isinstance(value, dict):
        return None
    for word in _WORDS:
        if not isinstance(value.get(word), str):
            return None
    value["seq"] = _number(value.get("seq"))
    value["committed"] = value.get("committed") is True
    return value


def _number(value):
    return value if isinstance(value, int) else 0
