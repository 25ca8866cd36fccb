"""Simulates a board: a flash file goes in; a device that boots, runs MicroPython and can break."""
