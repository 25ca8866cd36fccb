"""Does, when it is told to, what a module must not do. It runs on boards: ci/chaos puts it there.

It takes a word on <prefix>/chaos, says on <prefix>/chaos/now that it begins, and does it.
"""

import asyncio


def crash(board):
    """Die of an exception."""
    raise RuntimeError("chaos")


def hang(board):
    """Never give the event loop back."""
    while True:
        pass


async def leak(board):
    """Take all memory bit by bit, and keep it."""
    kept = []
    while True:
        try:
            kept.append(bytearray(1500))
            await asyncio.sleep(0)
        except MemoryError:
            await asyncio.sleep(1000)


async def start(board, settings):
    """Do what is asked for."""
    topic = board.config.prefix + "/chaos"
    async with board.client.messages(topic) as messages:
        async for _, word, _ in messages:
            await board.client.publish(topic + "/now", word, qos=1)
            waiting = {b"crash": crash, b"hang": hang, b"leak": leak}[bytes(word)](board)
            if waiting:
                await waiting
