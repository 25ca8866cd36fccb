"""Measures how working on a board feels: how fast output comes, and one line on a slow link."""

import threading
import time
from dataclasses import replace
from pathlib import Path

from ci.bench import Figure, median
from ci.bench.raw import client, extract
from ci.bench.rig import PREFIX, Rig
from ci.proxies.delayproxy import DelayProxy
from mqhost.link.connection import Subscription
from mqhost.link.session import Session
from mqhost.repl import start

_LINE = 80  # bytes, with its newline
_EACH_WAY = 0.3
_MESSAGE, _WINDOW = 1400, 45  # as in raw/probe.py
_PRINT = "line = 'x' * {}\nfor _ in range({}): print(line)"


def measure(rig: Rig) -> dict[str, Figure]:
    """stream_mb_s: how fast a board's prints of 80 bytes come, to the code's end. Its limit is how
    fast those of the raw client come, which prints the same lines into messages of the same size,
    with as much credit, over the same connection.
    stream_ratio: the one over the other, the median of the turns.
    latency_300ms_s: one line, an expression, from its start to the code's end on a session that
    stands, with 300 ms each way between the host and the broker.
    """
    runs = 3 if rig.quick else 7
    size = _LINE * (12_500 if rig.quick else 200_000)
    program = extract(rig.firmware().app, rig.folder)
    ours, raws = [], []
    with rig.board() as board:
        for done in range(runs):
            rig.progress("measuring repl", done, runs)
            raws.append(size / 1e6 / _raw_seconds(rig, program, board.session, size))
            ours.append(
                size / 1e6 / _seconds(board.session, _PRINT.format(_LINE - 1, size // _LINE), size)
            )
        latencies = _latencies(rig, runs)
    ratios = [mine / raw for mine, raw in zip(ours, raws, strict=True)]
    return {
        "stream_mb_s": Figure(median(ours), "MB/s", runs, median(raws)),
        "stream_ratio": Figure(median(ratios), "of raw", runs, 1, aim=0.3, at_least=True),
        "latency_300ms_s": Figure(median(latencies), "s", runs, 2 * _EACH_WAY, aim=0.7),
    }


def _seconds(session: Session, code: str, size: int) -> float:
    """Return how long code takes, which puts out `size` bytes."""
    began = time.perf_counter()
    run = start(session, code)
    came = sum(len(part) for part in run)
    taken = time.perf_counter() - began
    assert run.result and run.result.error is None and came == size, (came, run.result)
    return taken


def _raw_seconds(rig: Rig, program: Path, session: Session, size: int) -> float:
    """Return how long it takes until `size` bytes have come from the raw client, whole messages."""
    topic = f"{PREFIX}/raw"
    whole = size // _MESSAGE * _MESSAGE
    done = threading.Event()
    came = 0

    def take(payload: bytes, retained: bool) -> None:
        nonlocal came
        came += len(payload)
        if came % (_WINDOW * _MESSAGE) == 0:
            session.connection.publish(topic, b"", 0)
        if came == whole:
            done.set()

    subscription = Subscription({f"{topic}/sent": take})
    session.connection.subscribe(subscription)
    with client(program, str(rig.broker.port), "send", topic, str(size)):
        began = time.perf_counter()
        assert done.wait(60), f"{came} of {whole} bytes have come from the raw client"
        taken = time.perf_counter() - began
    session.connection.unsubscribe(subscription)
    return taken


def _latencies(rig: Rig, runs: int) -> list[float]:
    with DelayProxy(rig.broker.port, _EACH_WAY) as proxy:
        settings = replace(rig.settings, port=proxy.port)
        with Session(settings) as session:
            _seconds(session, "45+876", 4)
            return [_seconds(session, "45+876", 4) for _ in range(runs)]
