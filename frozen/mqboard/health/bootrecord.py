"""Remembers in NVS, over resets and power cuts: the image on trial and its end, the last failed
one, and the last good configuration. What need not survive a power cut is in health.blackbox.
"""

import json

from micropython import const

from mqwire import codes
from mqwire.config import MAX_KEPT

NAMESPACE = "mqboard"  # in NVS

_REASON_MAX = const(200)  # characters
# Bytes of all that is kept but the configuration and certificates: a heap in pieces has room for so
# much where it has none for these. The longest is a failed image, whose reason JSON may make six
# times as long.
_USUAL_MAX = const(1536)


class Store:
    """Keeps text values by key in an esp32.NVS namespace. Keys have at most 15 characters."""

    def __init__(self, nvs):
        self._nvs = nvs

    def get(self, key, most=_USUAL_MAX):
        """Return the text kept under `key`, of at most that many bytes, or None."""
        for room in (min(most, _USUAL_MAX), most):  # a heap in pieces may have none that large
            buffer = bytearray(room)
            try:
                size = self._nvs.get_blob(key, buffer)
                return str(memoryview(buffer)[:size], "utf-8")
            except OSError:  # there is none, or it is longer
                pass
            except ValueError:  # it is no text
                break
        return None

    def set(self, key, text):
        """Keep `text`, over resets and power cuts. Raises OSError when it does not fit."""
        data = text.encode()
        if len(data) > MAX_KEPT:
            raise OSError("it has %d bytes; %d is the most" % (len(data), MAX_KEPT))
        self._nvs.set_blob(key, data)
        self._nvs.commit()

    def erase(self, key):
        """Forget `key`; no error when there is none."""
        try:
            self._nvs.erase_key(key)
            self._nvs.commit()
        except OSError:
            pass


class Trial:
    """Remembers the image on trial, so that the one that comes back can say what became of it."""

    def __init__(self, store):
        self._store = store
        self._begun = None

    def begin(self, image, version):
        """Note that `image` (hex SHA-256) is about to be made the one that boots next."""
        self._begun = {"image": image, "version": version, "due": False}
        self._store.erase("why")
        self._store.set("trial", json.dumps(self._begun))

    def due(self):
        """Note that it is now the one that boots next: from here on its slot's state tells of it,
        and no more of an image before it. When the note gets lost, a rollback cannot be explained,
        that is all.
        """
        self._begun["due"] = True
        self.note("trial", self._begun)

    def image(self):
        """Return the hash of the image on trial, or None."""
        return (parse(self._store.get("trial"), dict) or {}).get("image")

    def cancel(self):
        """Forget the image on trial: it will not be booted after all."""
        self._store.erase("trial")

    def blame(self, code, reason):
        """Note why the image on trial gives up: `reason` for people, `code` of mqwire.codes. When
        the note gets lost, the reset cause has to tell.
        """
        self.note("why", [code, shortened(reason, _REASON_MAX)])

    def confirmed(self):
        """Forget trial and failures: the running image proved good."""
        for key in ("failed", "why", "trial"):  # the last one says that there is more to erase
            self._store.erase(key)

    def resolve(self, image, other_state, reset_cause):
        """Find out at boot what became of the last update. Return the failed one, or None: "image",
        "version", "code" (of mqwire.codes) and "reason".

        `image` is the running one, `other_state` the other slot's state: "aborted" is how the
        bootloader marks the image it rolled back. One that was never due is not blamed: the mark
        may be that of an image before it, and whatever reset the board did so before it booted.
        """
        trial = parse(self._store.get("trial"), dict)
        if trial and trial.get("image") != image:
            if trial.pop("due", False) and other_state in ("aborted", "invalid"):
                trial["code"], trial["reason"] = self.why(reset_cause)
                if not self.note("failed", trial):
                    return trial  # NVS is full: each boot finds out anew
            self._store.erase("trial")
        return parse(self._store.get("failed"), dict)

    def note(self, key, value):
        """Keep `value` as JSON; return whether that could be. No board may die of a full NVS."""
        try:
            self._store.set(key, json.dumps(value))
            return True
        except (OSError, MemoryError):
            return False

    def why(self, reset_cause):
        """Return why what was on trial gave up: (code, reason), as it said last, or a guess."""
        told = parse(self._store.get("why"), list)
        return told if told and len(told) == 2 else _guess(reset_cause)


def shortened(text, most):
    """Return `text`, or as many characters of it: its beginning and its end, where the place is."""
    if len(text) <= most:
        return text
    end = most // 2
    return text[: most - end - 3] + "..." + text[-end:]


def kept_number(store, key):
    """Return the number kept under `key`, 0 if there is none: "seq", the highest that was ever
    confirmed here; "time", the last time known, in seconds since 1970.
    """
    try:
        return int(store.get(key) or 0)
    except ValueError:
        return 0


def keep_seq(store, seq):
    """Note the `seq` of the running image, which is confirmed. Raises OSError."""
    if seq > kept_number(store, "seq"):
        store.set("seq", str(seq))


def parse(text, kind):
    """Return the value of a JSON `text` if it is of that kind; None for all else."""
    try:
        value = json.loads(text) if text else None
    except ValueError:
        return None
    return value if isinstance(value, kind) else None


def _guess(reset_cause):
    if reset_cause == "watchdog":
        return codes.WATCHDOG, "the watchdog reset it before it was confirmed"
    if reset_cause == "power-on":
        return codes.POWER_LOST, "power was lost before it was confirmed"
    return codes.CRASH, "it crashed or reset before it was confirmed"
