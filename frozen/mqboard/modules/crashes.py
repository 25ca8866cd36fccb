"""Remembers over resets which modules are not to run: those that took the board down three times,
and those that a person switched off.

They stand in NVS as one JSON object, under the names of modules: how often one took the board down,
or "off". Nothing is kept of a module that never did anything wrong.
"""

import json

from micropython import const

from mqwire.config import MAX_KEPT

DISABLED_AFTER = const(3)

_KEY = "modules"
_OFF = "off"
_TASK = "module "
_CUT = const(60)  # bytes: what is told of the boot before has room for the beginning of a name


class Record:
    """What NVS says of modules; `store` is a mqboard.health.bootrecord.Store."""

    def __init__(self, store):
        self._store = store
        try:
            table = json.loads(store.get(_KEY, MAX_KEPT) or "{}")
        except ValueError:
            table = {}
        self._table = table if isinstance(table, dict) else {}

    def crashes(self, name):
        """Return how often module `name` took the board down, as far as that is remembered."""
        count = self._table.get(name)
        return count if isinstance(count, int) else 0

    def why(self, name):
        """Return why module `name` is not to run: the end of a sentence, "" if it may."""
        if self._table.get(name) == _OFF:
            return "by a person"
        count = self.crashes(name)
        return "after %d crashes" % count if count >= DISABLED_AFTER else ""

    # Each of these raises OSError when NVS takes it not; it is then so until the next boot only.

    def count(self, name):
        """Count one more crash of module `name`."""
        if self._table.get(name) != _OFF:
            self._table[name] = self.crashes(name) + 1
            self._keep()

    def disable(self, name):
        """Keep module `name` from running, until it is enabled."""
        self._table[name] = _OFF
        self._keep()

    def enable(self, name):
        """Let module `name` run, and forget its crashes."""
        if self._table.pop(name, None) is not None:
            self._keep()

    def forgive(self):
        """Forget the crashes of those that may still run."""
        names = [name for name in self._table if not self.why(name)]
        for name in names:
            del self._table[name]
        if names:
            self._keep()

    def _keep(self):
        if self._table:
            self._store.set(_KEY, json.dumps(self._table))
        else:
            self._store.erase(_KEY)


def blame(culprit, names, store, log):
    """Count a crash of the module that ran when the boot before ended badly: `culprit` is how its
    task is called, or how that begins. Return whether this is the crash that disables it.

    `names` are those of the configuration: others are not remembered.
    """
    for name in names:
        task = _TASK + name
        if task == culprit or len(culprit.encode()) >= _CUT and task.startswith(culprit):
            record = Record(store)
            if record.why(name):
                return False
            try:
                record.count(name)
            except (OSError, MemoryError) as error:  # and so it will run again
                log.error("module %s took the board down; NVS: %s", name, error)
                return False
            log.error("module %s took the board down, %d times now", name, record.crashes(name))
            return bool(record.why(name))
    return False
