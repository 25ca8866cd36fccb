"""Stands in for MicroPython's builtin time module, by the name that no file can stand in for."""

from time import *  # noqa: F403
