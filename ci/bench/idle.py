"""What the board takes when nothing happens: heap, and flash for frozen bytecode."""

from ci.bench import Figure, median
from ci.bench.rig import Rig

_HEAP = b"import gc; gc.collect(); print(gc.mem_alloc())"


def measure(rig: Rig) -> dict[str, Figure]:
    """heap_bytes: `gc.mem_alloc()` right after `gc.collect()`, asked for with eval (so the command
    that asks is in it), on a board that has booted, is connected, and was never busy. The simulated
    board is 64-bit; a pointer on an ESP32 takes half of that.
    frozen_bytes: the compiled (.mpy) bytes of all frozen modules, asyncio and the simulated board's
    own ones included.
    """
    runs = 3 if rig.quick else 10
    with rig.board() as board:
        samples = [int(board.session.request("eval", _HEAP).data) for _ in range(runs)]
    return {
        "heap_bytes": Figure(median(samples), "B", runs, aim=40_000),
        "frozen_bytes": Figure(rig.firmware().frozen_bytes, "B", 1),
    }
