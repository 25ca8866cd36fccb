"""Defines the commands that bring new firmware to a board: its push, and the signing before it."""
