"""Breaks one board in each of the ways that boards get broken, and mends it again.

A fault is `fault(board, chance)`. It returns when everything around the board is well again, with
the time (of time.monotonic) from which it counts how long the board takes to be back: that very
moment, or when the board began to do what it must come back from by itself.
"""

import json
import time
from collections.abc import Callable
from random import Random

from ci.chaos.world import BACK_SECONDS, Board, Lost

_STOP_SECONDS = 8.0  # until a module that took all memory is stopped, or never
_LOOK_SECONDS = 0.5

Fault = Callable[[Board, Random], float]


def half_open(board: Board, chance: Random) -> float:
    """Have its line forward nothing, and tell neither end."""
    board.proxy.freeze()
    time.sleep(chance.uniform(0.5, 8))
    board.proxy.thaw()
    return time.monotonic()


def cut(board: Board, chance: Random) -> float:
    """Break its connection, perhaps some times in a row."""
    for _ in range(chance.choice((1, 1, 3))):
        board.proxy.cut(reset=chance.random() < 0.5)
        time.sleep(chance.uniform(0, 0.5))
    return time.monotonic()


def wifi(board: Board, chance: Random) -> float:
    """Take the network away and bring it back."""
    board.device.wifi(False)
    time.sleep(chance.uniform(0.2, 6))
    board.device.wifi(True)
    return time.monotonic()


def power(board: Board, chance: Random) -> float:
    """Cut its power; as it happens, a second time while it boots."""
    for again in range(chance.choice((1, 1, 2))):
        time.sleep(again * chance.uniform(0, 0.5))
        board.device.power_off()
        board.device.power_on()
    return time.monotonic()


def crash(board: Board, chance: Random) -> float:
    """Have its module die of an exception."""
    return _misbehave(board, "crash")


def hang(board: Board, chance: Random) -> float:
    """Have its module never give the event loop back: the watchdog ends that."""
    return _misbehave(board, "hang", resets=True)


def leak(board: Board, chance: Random) -> float:
    """Have its module take all memory: it is stopped, and then commands can be loaded again.

    Where the board gets enough back by itself, as when a boot has just settled, the module goes on
    with what it took, and listens no more: then it is restarted, as a person would.
    """
    began = _misbehave(board, "leak")
    deadline = time.monotonic() + _STOP_SECONDS
    while board.module_state() == "running":
        if time.monotonic() > deadline:
            board.ask("modules", b"restart chaotic")
            break
        time.sleep(_LOOK_SECONDS)
    return began


def damage(board: Board, chance: Random) -> float:
    """Leave half a configuration in its file, reset it, and write the whole when it is back."""
    text = json.dumps(board.config).encode()
    board.write_config(text[: chance.randrange(len(text) - 1)])
    board.device.press_reset()
    began = time.monotonic()
    board.wait_back()
    board.write_config(text)
    return began


def _misbehave(board: Board, word: str, resets: bool = False) -> float:
    """Tell its module to; return when it began to, once the board has reset if it `resets`."""
    board.revive_module()
    boots = len(board.device.boots)
    if not board.world.watch.order(board.prefix, word, BACK_SECONDS):
        raise Lost(f"its module, {board.module_state()}, does not take the word {word}")
    began = time.monotonic()
    if resets:
        board.device.wait_boots(boots + 1, BACK_SECONDS)
    return began
