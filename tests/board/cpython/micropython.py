"""CPython's stand-in for MicroPython's `micropython` module: only what the on-board logic uses."""


def const(value):
    return value
