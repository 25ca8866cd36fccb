"""Measures what it costs that a board takes only commands with a tag."""

import json

from ci.bench import Figure, median
from ci.bench.rig import Rig

_CODE, _ANSWER = b"45+876", b"921"
_KEY = "the key of the benchmark"
_LOOP = b"""
def taken(count, router=board.router):
    import time
    from mqwire import command_topic
    topic = command_topic(router.prefix, "none", "abcdefgh")
    guard = router.guard
    message = b"\\x80\\0" + bytes(100)
    times = []
    for _ in range(count):
        payload = memoryview(guard.sealed(topic, message))
        start = time.ticks_us()
        assert guard.admit(router, "none", "abcdefgh", topic, payload) == message
        times.append(time.ticks_diff(time.ticks_us(), start))
    return times
"""


def measure(rig: Rig) -> dict[str, Figure]:
    """command_ms: how much longer an eval takes on a board with a key, tagging and all, than on one
    without (`limit`: how long it takes there); two boards take turns. admit_us: how long the board
    itself is busy with the tag of a message of 102 bytes, by its own clock.
    """
    count = 50 if rig.quick else 300
    with rig.board() as plain, rig.board(prefix="bench/guarded", auth_key=_KEY) as guarded:
        samples: tuple[list[float], list[float]] = ([], [])
        for _ in range(count):
            for board, taken in zip((plain, guarded), samples, strict=True):
                reply = board.session.request("eval", _CODE)
                assert reply.data == _ANSWER, reply.data
                taken.append(reply.seconds * 1000)
        guarded.session.request("eval", _LOOP)
        inside = json.loads(guarded.session.request("eval", b"taken(100)").data)
    without = median(samples[0])
    return {
        "command_ms": Figure(
            round(median(samples[1]) - without, 3), "ms", count, limit=without, aim=3
        ),
        "admit_us": Figure(median(inside), "us", len(inside)),
    }
