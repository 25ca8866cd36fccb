"""Measures how long each phase of a boot takes, from _boot.py on; logged at debug level."""

from mqboard.clock import ticks_diff, ticks_ms

_phases = []
_marked_at = ticks_ms()


def mark(phase):
    """Note that a phase of the boot is over: what took the time since the last mark."""
    global _marked_at
    now = ticks_ms()
    _phases.append("%s %d ms" % (phase, ticks_diff(now, _marked_at)))
    _marked_at = now


def taken():
    """Return how long the phases took marked since this was last asked for, as text."""
    text = ", ".join(_phases)
    _phases.clear()
    return text
