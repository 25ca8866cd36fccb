"""Measures what the board takes when nothing happens: heap, and flash for frozen bytecode."""

import time

from ci.bench import Figure, median
from ci.bench.rig import Rig
from mqhost.link.session import Session

# By MicroPython's release: on 1.28 the same modules are loaded, and 4.4 KB more stay in use.
_AIMS = {"1.25.0": 78_128, "1.28.0": 82_512}
_SETTLE_SECONDS = 60
_BOOT_SECONDS = 10  # after which a board has settled, as a rule
_UNLOAD_SECONDS = 12  # after a command, until what it had loaded is gone again


def measure(rig: Rig) -> dict[str, Figure]:
    """heap_bytes: what `info` says (the heap in use right after a collection) on a board that has
    settled: booted, connected, healthy, its image confirmed, and no command for a while. The
    simulated board is 64-bit, so that a pointer takes twice what it takes on an ESP32, and its
    hardware is Python, too.
    frozen_bytes: the compiled (.mpy) bytes of all frozen modules, asyncio and the simulated board's
    own ones included.
    """
    runs = 3 if rig.quick else 10
    with rig.board() as board:
        # An eval while it settles has more modules loaded at once than an idle board ever has, and
        # the dict of their names never shrinks.
        while board.session.request_json("info")["uptime_s"] < _BOOT_SECONDS:
            time.sleep(0.5)
        wait_settled(board.session)
        time.sleep(_UNLOAD_SECONDS)
        facts = [board.session.request_json("info") for _ in range(runs)]
    samples = [one["heap_used"] for one in facts]
    release = facts[0]["micropython"]
    return {
        "heap_bytes": Figure(median(samples), "B", runs, aim=_AIMS.get(release)),
        "frozen_bytes": Figure(rig.firmware().frozen_bytes, "B", 1),
    }


def wait_settled(session: Session) -> None:
    """Wait until the board is done with its boot."""
    deadline = time.monotonic() + _SETTLE_SECONDS
    while session.request("eval", b"board.settled").data != b"True":
        assert time.monotonic() < deadline, "the board does not settle"
