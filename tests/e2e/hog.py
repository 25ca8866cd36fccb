"""Holds the source of an application that takes all of the heap but `leave` bytes, and keeps it."""

HOG = b"""
import asyncio, gc

async def start(board, settings):
    kept = []
    gc.collect()
    while gc.mem_free() > settings["leave"]:
        kept.append(bytearray(256))
    print("hog: %d bytes are left" % gc.mem_free())
    await asyncio.sleep(1_000_000)
"""
