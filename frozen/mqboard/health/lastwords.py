"""Reads what the boot before this one left in RTC memory, and writes there what a boot dies of:
where the black box is not there yet, or no more.

Loaded for that, and not kept: an idle board has the memory for the user.
"""

import io
import struct
import sys

from micropython import const

from mqboard.health import blackbox

SAFE_MODE_AFTER = const(3)  # boots in a row that did not become healthy

# Magic; unhealthy boots, whether safe mode is wanted, how it ended (see health.blackbox), whether
# it was in safe mode; boots that died while they mounted the filesystem; uptime in seconds, free
# heap in bytes, what health.crash remembers; how the image's SHA-256 begins; what ran, padded with
# zeros. Then the last lines of the log, each with its newline, and when an exception ended it,
# behind a zero byte, the traceback.
_LAYOUT = "<4sBBBBBIII8s63s"
_SIZE = const(92)
_UNHEALTHY = const(4)
_END = const(6)
_MOUNTING = const(8)
_UPTIME = const(9)
_SPENT = const(17)
_IMAGE = const(21)
_RUNNING = const(29)
_MAGIC = b"MQB2"
_OLD_MAGIC = b"MQB1"  # then came the count of unhealthy boots, and nothing else
_TRACE_MAX = const(1024)
_MEMORY = const(2048)  # bytes that RTC memory holds


class LastWords:
    """What a boot left; `end` is how it ended as far as it could say so: see health.blackbox."""

    known = False  # there was something that we can read
    unhealthy = 0  # boots in a row that did not become healthy, this one included
    wanted = ""
    end = blackbox.SILENT
    safe = False
    uptime_s = heap_free = spent_s = 0
    image = b""
    running = ""
    lines = ""
    trace = ""

    def safe_mode(self):
        """Return whether no user code may run: a person says so, or so many boots failed."""
        return self.wanted == "safe" or self.unhealthy >= SAFE_MODE_AFTER

    def forgive(self, reset_cause):
        """Do not count this boot when it was an eval that reset it: somebody wanted that."""
        if reset_cause == "reset" and self.end == blackbox.BY_CODE and self.unhealthy:
            self.unhealthy -= 1

    def crashed(self, reset_cause):
        """Return whether that boot ended badly: not on purpose, nor for want of power."""
        if reset_cause == "watchdog":
            return self.end != blackbox.PROMPT
        # A panic is reported as a reset, too.
        badly = self.end in (blackbox.SILENT, blackbox.FULL)
        return reset_cause == "reset" and self.known and badly


def read(kept):
    """Return the LastWords in the bytes `kept`, whatever these are."""
    words = LastWords()
    if kept[: len(_OLD_MAGIC)] == _OLD_MAGIC and len(kept) == len(_OLD_MAGIC) + 1:
        words.unhealthy = kept[len(_OLD_MAGIC)]
    if kept[: len(_MAGIC)] != _MAGIC or len(kept) < _SIZE:
        return words
    words.known = True
    _, words.unhealthy, wanted, words.end, words.safe, _, *rest = struct.unpack_from(_LAYOUT, kept)
    words.wanted = "safe" if wanted else ""
    words.uptime_s, words.heap_free, words.spent_s, words.image, running = rest
    if words.end != blackbox.ON_PURPOSE:  # or else what came after it has no words
        lines, _, trace = kept[_SIZE:].partition(b"\0")
        words.running, words.lines, words.trace = _text(running), _text(lines), _text(trace)
    return words


def note(error, memory):
    """Note in RTC memory that `error` ends this boot; main.py calls this."""
    text = io.BytesIO()
    sys.print_exception(error, text)
    kept = _begun(memory())
    # Otherwise it is of the boot before: this one had no black box yet.
    if kept[_END] not in (blackbox.SILENT, blackbox.FULL):
        kept = _without_words(kept)
    trace = b"\0" + text.getvalue()[-_TRACE_MAX:]
    memory(kept[: _MEMORY - len(trace)] + trace)


def stopped(memory):
    """Note that somebody at the console stopped this boot: it is over, and did not fail."""
    kept = bytearray(_begun(memory()))
    kept[_UNHEALTHY] = max(kept[_UNHEALTHY] - 1, 0)
    kept[_END] = blackbox.PROMPT
    memory(kept)


def mounting(memory, power_on):
    """Note that this boot is about to mount the filesystem. Return how many boots before it, in a
    row, did so and were never heard of again.
    """
    kept = _begun(b"" if power_on else memory())
    deaths = kept[_MOUNTING]
    if deaths:  # what is there are not the words of the last boot, but of one before it
        kept = _without_words(kept, b"mounting the filesystem")
    _put(memory, kept, _MOUNTING, min(deaths + 1, 255))
    return deaths


def mounted(memory):
    """Note that it got through that."""
    _put(memory, memory(), _MOUNTING, 0)


def _begun(kept):
    """Return RTC memory's bytes as the black box lays them out: those, or if they are not, new
    ones, of a boot that ended on purpose: we know nothing else."""
    if kept[: len(_MAGIC)] == _MAGIC and len(kept) >= _SIZE:
        return kept
    new = bytearray(_SIZE)
    new[: len(_MAGIC)] = _MAGIC
    new[_UNHEALTHY] = read(kept).unhealthy
    new[_END] = blackbox.ON_PURPOSE
    return bytes(new)


def _without_words(kept, running=b""):
    """Return RTC memory's bytes for the end of a boot of which nothing is known but what ran."""
    new = bytearray(kept[:_SIZE])
    new[_END] = blackbox.SILENT
    new[_UPTIME:_SPENT] = bytes(_SPENT - _UPTIME)
    new[_IMAGE:] = bytes(_RUNNING - _IMAGE) + running + bytes(_SIZE - _RUNNING - len(running))
    return new


def _put(memory, kept, place, value):
    memory(kept[:place] + bytes((value,)) + kept[place + 1 :])


def _text(data):
    """Return bytes up to the first zero as text: in ASCII, with "?" for others, if no UTF-8."""
    data = data.split(b"\0", 1)[0]
    try:
        return str(data, "utf-8")
    except ValueError:
        return "".join([chr(byte) if byte < 127 else "?" for byte in data])
