"""Pushes firmware and configurations to boards, good ones and bad ones, while other things break.

The functions are faults as those of faults.py. A good change is pushed until it is there: then it
is what the board must run with in the end. A bad one until the board has tried it and gone back.
"""

import copy
import threading
import time
from collections.abc import Callable
from random import Random

from ci.chaos.faults import cut, half_open, power, wifi
from ci.chaos.world import Board, Image, Lost
from mqhost.errors import ToolError
from mqhost.manage.configchange import WentBack, change, fetch_settled
from mqhost.sim.broker import free_port
from mqhost.update.failures import RolledBack
from mqhost.update.push import push

_SECONDS = 180.0  # until a change is there, whatever else goes wrong


def update(board: Board, chance: Random) -> float:
    """Push the other good firmware while something else goes wrong."""
    image = board.world.good[board.image is board.world.good[0]]
    disturb = chance.choice((None, half_open, cut, wifi, power))
    meanwhile = threading.Thread(
        target=lambda: disturb and (time.sleep(chance.uniform(0, 1.5)), disturb(board, chance))
    )
    bases = [board.image.app] if chance.random() < 0.7 else []
    began = time.monotonic()
    meanwhile.start()
    try:
        # Only at first as differences: after that it may run either.
        _until_done("a good update", lambda: _push(board, image, bases.pop() if bases else None))
    finally:
        meanwhile.join()
    board.image = image
    return began


def bad_update(board: Board, chance: Random) -> float:
    """Push firmware that does not even start, or that never reaches its broker."""
    if board.world.bad and chance.random() < 0.5:
        image = chance.choice(board.world.bad)
    else:
        version = f"bad.{chance.getrandbits(32):08x}"  # another one each time
        image = board.image.renamed(version, b"#!/bin/false\n")
    began = time.monotonic()

    def try_it() -> None:
        try:
            _push(board, image, None)
        except RolledBack:
            return
        raise Lost(f"it confirmed the bad firmware {image.offer.version}")

    _until_done("bad firmware", try_it)
    return began


def configure(board: Board, chance: Random) -> float:
    """Push a configuration that differs from the one before."""
    config = copy.deepcopy(board.config)
    config["log"]["level"] = chance.choice(
        [level for level in ("debug", "info", "warning") if level != config["log"]["level"]]
    )
    config["watchdog"]["unreachable_s"] = chance.randrange(1800, 3600)
    began = time.monotonic()
    _until_done("a good configuration", lambda: _push_config(board, config, "watchdog"))
    board.config = config
    return began


def misconfigure(board: Board, chance: Random) -> float:
    """Push a configuration with which a board cannot reach its broker."""
    config = copy.deepcopy(board.config)
    if chance.random() < 0.5:
        config["broker"]["port"] = free_port()
    else:
        config["networks"][0]["password"] = "mistyped!"
    began = time.monotonic()

    def try_it() -> None:
        try:
            _push_config(board, config)
        except WentBack:
            return
        raise Lost("it confirmed a configuration without a broker")

    _until_done("a bad configuration", try_it)
    return began


def _until_done(what: str, attempt: Callable[[], None]) -> None:
    """Try until nothing comes in between; Lost when that takes too long."""
    deadline = time.monotonic() + _SECONDS
    while True:
        try:
            attempt()
            return
        except ToolError as error:
            if time.monotonic() > deadline:
                raise Lost(f"{what} does not get there: {error}") from error
            time.sleep(0.5)


def _push(board: Board, image: Image, base: bytes | None) -> None:
    with board.session() as session:
        push(
            session,
            image.offer,
            image.app,
            base=base,
            full=base is None,
            retry_failed=True,
            patience=15,
            confirm_timeout=45,
        )


def _push_config(board: Board, config: dict, mark: str = "") -> None:
    """Change the board's configuration, unless an attempt before this one did: then what is under
    the key `mark` is the same."""
    with board.session() as session:
        now = fetch_settled(session, lambda stage: None)
        if not mark or now.record[mark] != config[mark]:
            change(session, now, config)
