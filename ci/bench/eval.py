"""Measures how long a board takes to answer: the round trip of an eval.

host → broker → board, the expression evaluated, and back: what a person waits for.
"""

import statistics
import threading
import time

from ci.bench import Figure
from ci.bench.raw import client, extract
from ci.bench.rig import PREFIX, Rig
from mqhost.link.connection import Subscription

_CODE, _ANSWER = b"45+876", b"921"


def measure(rig: Rig) -> dict[str, Figure]:
    """p50_ms, p99_ms: percentiles of the time that one request for 45+876 takes on a session that
    stands, its subscription to the reply included. The limit is the same percentile of a message of
    the same size that the raw MicroPython client sends back.
    """
    count = 100 if rig.quick else 300
    with rig.board() as board:
        samples = []
        for _ in range(count):
            reply = board.session.request("eval", _CODE)
            assert reply.data == _ANSWER, reply.data
            samples.append(reply.seconds * 1000)
        limits = _raw_echoes(rig, board.session.connection, count)
    return {
        "p50_ms": Figure(_percentile(samples, 50), "ms", count, _percentile(limits, 50), aim=5),
        "p99_ms": Figure(_percentile(samples, 99), "ms", count, _percentile(limits, 99)),
    }


def _raw_echoes(rig: Rig, connection, count: int) -> list[float]:
    """Return the milliseconds that each of `count` messages takes to the raw client and back."""
    there, back = f"{PREFIX}/raw/there", f"{PREFIX}/raw/back"
    arrived = threading.Event()
    subscription = Subscription({back: lambda payload, retained: arrived.set()})
    connection.subscribe(subscription)
    program = extract(rig.firmware().app, rig.folder)
    samples = []
    with client(program, str(rig.broker.port), "echo", there, back):
        for _ in range(count):
            arrived.clear()
            started = time.perf_counter()
            connection.publish(there, _CODE, qos=0)
            assert arrived.wait(10), "the raw client sends nothing back"
            samples.append((time.perf_counter() - started) * 1000)
    connection.unsubscribe(subscription)
    return samples


def _percentile(samples: list[float], percent: int) -> float:
    return round(statistics.quantiles(samples, n=100, method="inclusive")[percent - 1], 3)
