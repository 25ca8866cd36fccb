"""Stands in on CPython for MicroPython's `esp32`: names that are imported there, and not used."""

NVS = Partition = None
