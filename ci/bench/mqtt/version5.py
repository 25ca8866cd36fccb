"""Measures what MQTT 5 costs, what is lost by it, and that no packet of a broker harms it."""

import os
from pathlib import Path

from ci import fuzz, fuzz5
from ci.bench import Figure, median
from ci.bench.mqtt.lab import Lab
from ci.bench.mqtt.recover import recover
from ci.bench.rig import Rig
from mqhost.sim.broker import Broker

_BOTH = Path(__file__).with_name("both.py")
_WEIGH = Path(__file__).with_name("weigh.py")
_QUICK_CASES = 20_000
_ALL_CASES = 100_000
_CASES = "MQBOARD_FUZZ_CASES"


def measure(rig: Rig) -> dict[str, Figure]:
    """lost, kept: messages at QoS 1, both ways, while broker and network go and come, with sessions
    that expire (recover.py). recover_…: how soon the boards are back, in the same run.
    heap_bytes: what the client takes of the heap, connected and subscribed, beyond asyncio; the
    limit is that of 3.1.1. frozen_bytes: the compiled (.mpy) bytes of manifest/mqtt5.py.
    fuzz_cases: see ci/fuzz5.py; 100,000, or as many as MQBOARD_FUZZ_CASES says.
    """
    runs = 3 if rig.quick else 5
    with Lab(rig, _BOTH) as lab:
        found = recover(lab, runs, rig.progress, version=5)
        with Broker() as broker:
            old, new = (
                [_weigh(lab, broker.port, version) for _ in range(runs)] for version in (4, 5)
            )
        frozen = [m.size for m in lab.firmware.modules if m.path.startswith("mqboard/mqtt5/")]
    return {
        "lost": Figure(found.lost, "messages", 1, aim=0, part=rig.quick),
        "kept": Figure(found.kept, "messages", 1),
        "recover_restart_session_s": Figure(median(found.restart[True]), "s", runs, aim=2),
        "recover_cut_session_s": Figure(median(found.cut[True]), "s", runs, aim=2),
        "heap_bytes": Figure(median(new), "B", runs, median(old)),
        "frozen_bytes": Figure(sum(frozen), "B", 1),
        "fuzz_cases": _fuzz(rig),
    }


def _weigh(lab: Lab, port: int, version: int) -> int:
    with lab.program(_WEIGH, port, version) as process:
        assert process.stdout
        before, after = map(int, process.stdout.readline().split())
    return after - before


def _fuzz(rig: Rig) -> Figure:
    """Run the fuzz cases; a failure is an error of the whole run."""
    cases = int(os.environ.get(_CASES) or (_QUICK_CASES if rig.quick else _ALL_CASES))
    done = fuzz.run(
        cases, progress=lambda done: rig.progress("fuzzing", done, cases), subject=fuzz5.SUBJECT
    )
    part = done < _ALL_CASES
    return Figure(done, "cases", 1, aim=_ALL_CASES, at_least=True, part=part)
