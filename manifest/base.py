# ruff: noqa: F821 (the functions of a manifest come from MicroPython's manifest reader)
# What every board freezes: asyncio as MicroPython ships it, and everything under frozen/.
include("$(MPY_DIR)/extmod/asyncio")
freeze("../frozen")
