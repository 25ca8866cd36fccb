# What every board freezes: asyncio as MicroPython ships it, and everything under frozen/.
include("$(MPY_DIR)/extmod/asyncio")
freeze("../frozen")
