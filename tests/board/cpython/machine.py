"""Stands in on CPython for MicroPython's `machine`: it is imported there, and not used."""
