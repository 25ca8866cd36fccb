"""Tells who this board is and how it is doing: the birth message and the answer to `info`."""

import binascii
import gc
import json
import sys

import mqwire


class Identity:
    """Holds the facts: `build` is the generated module mqbuild; mqboard.startup sets the others."""

    def __init__(self, build, boot_id, unique_id):
        self.build = build
        self.id = str(binascii.hexlify(unique_id), "ascii")
        self.board = build.BOARD
        self.mcu = build.MCU
        self.version = build.VERSION
        # What it lets go below only if that is allowed. Changes that were never committed may be
        # undone, and then the commit must not be too old.
        self.floor = build.SEQ if build.COMMITTED else 0
        self.keys = build.KEYS  # the moduli of the keys that may sign offers; it stays in flash
        self.oldest = 0  # offers of a lower seq are refused
        self.confirm_s = 0  # how long an update may take to prove itself
        self.boot_id = boot_id
        self.image = ""
        self.slot = ""
        self.slot_state = ""
        self.mode = "normal"
        self.reset_cause = "unknown"
        self.storage = None  # what is wrong with the filesystem
        self.twin = None  # the id of another board that has our prefix (mqboard.twins)
        self.guard = None  # mqboard.auth.Guard, where commands need a tag
        self.crashes = 0  # boots that ended badly and that nobody has cleared
        self.failed = None  # the last failed update: {"image", "version", "code", "reason"}
        self.disabled = None  # {name: why} of modules that are not to run
        # A new configuration on trial, or the one that failed last, by the id of its command:
        # {"id", "state": "trial" or "failed", "code", "reason"}
        self.config = None
        # The application: {"id", "name", "version", "state" (mqwire.app)}, and in "failed" the one
        # that was gone back from: {"id", "name", "version", "code", "reason"}
        self.app = None

    def trying(self):
        """Return whether this boot tries a new configuration, or a new application."""
        return any([tried and tried["state"] == "trial" for tried in (self.config, self.app)])

    def facts(self, rssi=None):
        """Return what the birth message says, as a dict; `rssi` in dBm, or None."""
        facts = {
            "state": mqwire.ONLINE,
            "protocol": mqwire.PROTOCOL,
            "board": self.board,
            "mcu": self.mcu,
            "version": self.version,
            "commit": self.build.COMMIT,
            "built": self.build.BUILD_TIME,
            "boot_id": self.boot_id,
            "image": self.image,
            "slot": self.slot,
            "slot_state": self.slot_state,
            "mode": self.mode,
            "reset_cause": self.reset_cause,
            "signing": "required" if self.keys else "none",
            "failed": self.failed,
            "id": self.id,
            "rssi": rssi,
        }
        # Said when there is something to say.
        for key in ("storage", "twin", "disabled", "config", "app", "crashes", "power"):
            if getattr(self, key, None):
                facts[key] = getattr(self, key)
        if self.guard:
            facts["auth"] = self.guard.facts()
        return facts

    def birth(self, rssi=None):
        """Return the birth message, JSON in bytes."""
        return json.dumps(self.facts(rssi)).encode()

    def info(self, link, uptime_s, refused, clock):
        """Return the answer to `info`: the birth's facts and the current state, JSON in bytes.

        `refused`: how many messages were given up because the broker hung up at them; `clock`: see
        mqboard.timeofday.
        """
        gc.collect()
        free, used = gc.mem_free(), gc.mem_alloc()  # before this answer takes its part
        facts = self.facts(link.rssi())
        facts["seq"] = self.build.SEQ
        facts["oldest"] = self.oldest
        facts["keys"] = _names(self.keys)
        facts["confirm_s"] = self.confirm_s
        facts["storage"] = self.storage or "ok"
        facts["heap_free"] = free
        facts["heap_used"] = used
        facts["uptime_s"] = uptime_s
        facts["micropython"] = ".".join([str(part) for part in sys.implementation[1][:3]])
        facts["address"] = link.address()
        if hasattr(link, "name"):  # one of several networks
            facts["network"] = link.name
        facts["refused"] = refused
        facts["clock"] = {
            "time": clock.now(),
            "trusted": clock.trusted,
            "source": clock.source,
        }
        return json.dumps(facts).encode()

    def offline(self, reason, clock=None):
        """Return the will, or with the `clock` the last word before a reset on purpose, JSON in
        bytes. When a will comes nobody can say.
        """
        facts = {
            "state": mqwire.OFFLINE,
            "reason": reason,
            "board": self.board,
            "version": self.version,
            "id": self.id,
        }
        if clock:
            facts["boot_id"] = self.boot_id
            if clock.trusted:
                facts["at"] = clock.now()
        return json.dumps(facts).encode()


def _names(keys):
    from mqboard.update.signature import key_id

    return [key_id(key) for key in keys]
