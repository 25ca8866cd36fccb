"""Keeps in RTC memory what must survive a reset: failed boots, the mode asked for, the last words.

RTC memory survives every reset but a power cut, which is just right for counting crashes. The next
boot finds what this one was doing when it ended, however it ended (health.lastwords reads it).
Each change is one write of the whole, a copy of some hundred bytes, and needs hardly any heap.
"""

import struct

from micropython import const

# How a boot ended, as far as it could say so itself.
SILENT = const(0)  # it could not: watchdog, panic, machine.reset() in somebody's code
ON_PURPOSE = const(1)  # by a command, for an update, because it was unreachable
PROMPT = const(2)  # it had stopped before, and gave the console its prompt
BY_CODE = const(3)  # perhaps on purpose: it ran an eval that names a reset
FULL = const(4)  # a MemoryError ended it; perhaps there was no room for more words than this

# The layout is that of health.lastwords.
_MAGIC = b"MQB2"
_UNHEALTHY = const(4)
_SAFE_WANTED = const(5)
_END = const(6)
_SAFE = const(7)
_NUMBERS = const(9)
_IMAGE = const(21)
_RUNNING = const(29)
_LINES = const(92)
_SIZE = const(576)


class BlackBox:
    """Notes what goes on, for the next boot. `memory` is machine.RTC().memory.

    `unhealthy` counts the boots before this one that did not become healthy, `wanted` is the mode
    that a person asked for ("safe", or "" for what the board thinks best), `running` what runs now.
    """

    running = ""
    evaluated = False  # an eval has run: what it defined may be large

    def __init__(self, memory, unhealthy, wanted):
        self._memory = memory
        self.unhealthy = unhealthy
        self._data = memoryview(bytearray(_SIZE))
        self._used = self._data[:_LINES]
        self._data[: len(_MAGIC)] = _MAGIC
        self._data[_UNHEALTHY] = min(unhealthy + 1, 255)
        self.want(wanted)
        memory(self._used)

    def describe(self, image, safe, spent_s):
        """Note who runs: its hash (b"": none), in safe mode or not; see health.crash."""
        for place in range(min(len(image), _RUNNING - _IMAGE)):
            self._data[_IMAGE + place] = image[place]
        self._data[_SAFE] = safe
        struct.pack_into("<I", self._data, _NUMBERS + 8, spent_s)
        self._memory(self._used)

    def healthy(self):
        """Count unhealthy boots from zero: this one is healthy, or ends on purpose."""
        self._set(_UNHEALTHY, 0)

    def want(self, mode):
        """Note the mode that a person asked for; kept until it is changed or the power goes."""
        self.wanted = mode
        self._set(_SAFE_WANTED, mode == "safe")

    def end(self, how=ON_PURPOSE):
        """Note how this boot is about to end."""
        self._set(_END, how)

    def run(self, text):
        """Note what runs, as "eval ID …" or "module NAME"; "" when that is over."""
        if text != self.running:
            data = text.encode()[: _LINES - _RUNNING]
            self._data[_RUNNING:_LINES] = data + bytes(_LINES - _RUNNING - len(data))
            self._memory(self._used)
            self.running = text  # when all that had memory

    def alive(self, uptime_s, heap_free):
        """Note how long this boot has been up, and the bytes that are free."""
        struct.pack_into("<II", self._data, _NUMBERS, uptime_s, heap_free)
        self._memory(self._used)

    def line(self, line):
        """Keep a line of the log (bytes); the oldest ones make room for it."""
        data, used = self._data, len(self._used)
        size = min(len(line), _SIZE - _LINES - 1)
        excess = used + size + 1 - _SIZE
        if excess > 0:
            cut = _LINES + excess
            while cut < used and data[cut - 1] != 10:
                cut += 1
            used -= cut - _LINES
            data[_LINES:used] = data[cut : cut + used - _LINES]
        data[used : used + size] = line[:size]
        data[used + size] = 10
        self._used = data[: used + size + 1]
        self._memory(self._used)

    def _set(self, place, value):
        if self._data[place] != value:
            self._data[place] = value
            self._memory(self._used)
