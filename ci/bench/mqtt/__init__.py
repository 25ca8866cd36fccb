"""Measures how near our MQTT client comes to the least that MicroPython can do, and its cost.

The raw client (raw.py) and ours (ours.py) run as programs on the same executable, taking
turns at the same mosquitto, which is what users have. It sends slower than either client receives;
what our client itself costs shows at a scripted peer, which is faster: the figures named `peer`.
Names: `rx0`, `rx1` receive at QoS 0 and 1, `pub0`, `pub1_awaited`, `pub1_window8` publish; then the
payload, `64`, `1k` or `4k` (`pub1_awaited` alone is 1k); then `tls` where it goes over TLS.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from itertools import product

from ci import fuzz
from ci.bench import Figure, median
from ci.bench.mqtt.lab import OURS, RAW, Lab
from ci.bench.mqtt.recover import recover
from ci.bench.rig import Rig

_SIZES = {"64": 64, "1k": 1024, "4k": 4096}
_WORK = {  # name → (what the programs call it, the least that our part of raw's rate should be)
    "rx0": ("rx0", 0.6),
    "rx1": ("rx1", 0.6),
    "pub0": ("pub0", None),
    "pub1_awaited": ("pub1", 0.5),
    "pub1_window8": ("window8", 0.8),
}
_QUICK_CASES = 20_000
_ALL_CASES = 1_000_000
_CASES = "MQBOARD_FUZZ_CASES"


def measure(rig: Rig) -> dict[str, Figure]:
    """…_ratio: our messages per second over those of the raw client, the median of the turns.
    …_per_s: our messages per second; the limit is the raw client's.
    rx_alloc_…: bytes allocated per message that a plain handler gets, nothing collected meanwhile;
    _single: when messages come one by one, so that each is waited for.
    heap_bytes: what is in use connected and subscribed, beyond what asyncio takes.
    frozen_bytes: the compiled (.mpy) bytes of manifest/client.py without asyncio.
    recover_…, lost: see recover.py. fuzz_cases: see ci/fuzz.py; so many were run, as
    MQBOARD_FUZZ_CASES says, 20,000 by default.
    """
    runs = 3 if rig.quick else 5
    with Lab(rig) as lab:
        figures = _speeds(rig, lab, runs) | _speeds_at_peer(rig, lab, runs)
        figures |= _sizes(rig, lab, runs) | _recovery(rig, lab, runs)
    return figures | {"fuzz_cases": _fuzz(rig)}


def _speeds(rig: Rig, lab: Lab, runs: int) -> dict[str, Figure]:
    figures: dict[str, Figure] = {}
    for work, size, secure in product(_WORK, _SIZES, (False, True)):
        name = _name(work, size, secure)
        ratio, rate = _compare(rig, lab.seconds_at_mosquitto, name, work, size, secure, runs)
        figures |= {f"{name}_ratio": ratio, f"{name}_per_s": rate}
    return figures


def _speeds_at_peer(rig: Rig, lab: Lab, runs: int) -> dict[str, Figure]:
    figures: dict[str, Figure] = {}
    for work, secure in product(_WORK, (False, True)):
        name = _name(work, "1k", secure) + "_peer"
        ratio, _ = _compare(rig, lab.seconds, name, work, "1k", secure, runs)
        figures[f"{name}_ratio"] = replace(ratio, aim=None)
    return figures


def _name(work: str, size: str, secure: bool) -> str:
    name = "_".join([work, size, *["tls"] * secure])
    return name.replace("awaited_1k", "awaited")


def _compare(
    rig: Rig, seconds: Callable, name: str, work: str, size: str, secure: bool, runs: int
) -> tuple[Figure, Figure]:
    """Measure (our rate over the raw client's, our rate); they take turns."""
    kind, aim = _WORK[work]
    count = _count(kind, size, secure)
    raws, ours = [], []
    for done in range(runs):
        rig.progress(f"measuring mqtt: {name}", done, runs)
        raws.append(count / seconds(RAW, secure, kind, _SIZES[size], count))
        ours.append(count / seconds(OURS, secure, kind, _SIZES[size], count))
    ratio = median(our / raw for our, raw in zip(ours, raws, strict=True))
    return (
        Figure(ratio, "of raw", runs, 1, aim=aim, at_least=True),
        Figure(median(ours, 0), "1/s", runs, median(raws, 0)),
    )


def _count(kind: str, size: str, secure: bool) -> int:
    """Return how many messages take some tenths of a second."""
    if kind == "pub1":
        return 2000
    if kind == "window8":
        return {"64": 16_000, "1k": 12_000, "4k": 6000}[size]
    if kind.startswith("rx") and not secure:
        return {"64": 80_000, "1k": 40_000, "4k": 12_000}[size]
    return {"64": 8000, "1k": 6000, "4k": 4000}[size]


def _sizes(rig: Rig, lab: Lab, runs: int) -> dict[str, Figure]:
    """Measure what the client takes of heap and flash."""
    rig.progress("measuring mqtt: heap", 0, 0)

    def allocated(qos: int, size: int, one_by_one: bool = False, aim: float | None = None):
        samples = [lab.allocated(qos, size, one_by_one) for _ in range(runs)]
        return Figure(median(samples, 1), "B", runs, aim=aim)

    heaps = [lab.heap() for _ in range(runs)]
    modules = [m.size for m in lab.firmware.modules if m.path.startswith("mqboard/")]
    return {
        "rx_alloc_bytes": allocated(0, 1024, aim=64),
        "rx_alloc_64_bytes": allocated(0, 64),
        "rx_alloc_4k_bytes": allocated(0, 4096),
        "rx_alloc_qos1_bytes": allocated(1, 1024),
        "rx_alloc_single_bytes": allocated(0, 1024, one_by_one=True),
        "heap_bytes": Figure(
            median(connected - alone for alone, connected in heaps), "B", runs, aim=12_000
        ),
        "frozen_bytes": Figure(sum(modules), "B", 1, aim=10_240),
    }


def _recovery(rig: Rig, lab: Lab, runs: int) -> dict[str, Figure]:
    found = recover(lab, runs, rig.progress)
    return {
        "recover_restart_s": Figure(median(found.restart[False]), "s", runs, aim=2),
        "recover_restart_session_s": Figure(median(found.restart[True]), "s", runs, aim=2),
        "recover_cut_s": Figure(median(found.cut[False]), "s", runs, aim=2),
        "recover_cut_session_s": Figure(median(found.cut[True]), "s", runs, aim=2),
        "kept": Figure(found.kept, "messages", 1),
        "lost": Figure(found.lost, "messages", 1, aim=0, part=rig.quick),
    }


def _fuzz(rig: Rig) -> Figure:
    """Run the fuzz cases; a failure is an error of the whole run."""
    cases = int(os.environ.get(_CASES) or _QUICK_CASES)
    rig.progress("measuring mqtt: fuzz cases", 0, cases)
    done = fuzz.run(cases, progress=lambda done: rig.progress("fuzzing", done, cases))
    part = done < _ALL_CASES  # as many as were asked for, and all of them good
    return Figure(done, "cases", 1, aim=_ALL_CASES, at_least=True, part=part)
