"""Measures files: what put and get of a megabyte take, and what power cuts leave behind.

The bare one (raw/carrier.py) runs on the same MicroPython, flash and filesystem, with the same
broker. It checks nothing; ours is read back from flash, hashed and renamed in that time.
"""

import json
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

from ci.bench import Figure, median
from ci.bench.rig import PREFIX, Rig, Running
from ci.filecuts import sweep
from mqhost.link.connection import Subscription
from mqhost.paths import ROOT
from mqhost.remote.board_files import BoardFiles
from mqhost.remote.trees import put_tree

_SIZE = 1_000_000
_PIECE = 4096
_SMALL = 100  # files
_CUTS = 25  # of each story, in a quick run
_RECENT_SECONDS = 3  # a file that was just written is read twice: it may change, and look the same
_CARRIER = Path(__file__).parent / "raw" / "carrier.py"


def measure(rig: Rig) -> dict[str, Figure]:
    """put_ratio, get_ratio: how fast a file of 1 MB goes to a board, or comes from it, in parts of
    how fast the bare program does it; put_kb_per_s, get_kb_per_s: that in kB (`limit`: the bare
    one). small_per_s: how many files of 1 kB are put in a second, of a folder with a hundred. cuts:
    how often power was cut while a file was put, at every flash operation; lost: after how many of
    them the file was neither the old one nor the new one; each is told on stderr.
    sync_unchanged_s: how long `mqboard sync` takes to find out that all hundred files of a folder
    are on the board already, the start of the command included.
    """
    runs = 3 if rig.quick else 9
    data = random.Random(1).randbytes(_SIZE)
    ours: dict[str, list[float]] = {"put": [], "get": []}
    bare: dict[str, list[float]] = {"put": [], "get": []}
    small: list[float] = []
    same: list[float] = []
    raw = rig.variant("bench.raw", {"main.py": _CARRIER.read_text()}).flash
    with (
        rig.board(large=True) as board,
        rig.board(prefix=PREFIX + "/bare", image=raw, large=True) as other,
    ):
        files = BoardFiles(board.session)
        for _ in range(runs):
            _ours(files, data, ours)
            _bare(other, data, bare)
            small.append(_small(files))
            same.append(_unchanged(rig, files))
    figures = {}
    for work in ("put", "get"):
        mine, limit = median(ours[work]), median(bare[work])
        kb, bare_kb = _SIZE / 1000 / mine, _SIZE / 1000 / limit
        figures[f"{work}_kb_per_s"] = Figure(round(kb), "kB/s", runs, round(bare_kb))
        ratio = round(limit / mine, 3)
        figures[f"{work}_ratio"] = Figure(ratio, "of raw", runs, 1, aim=0.6, at_least=True)
    count = sweep(
        rig.firmware().app, rig.folder, _CUTS if rig.quick else None, progress=rig.progress
    )
    for text in count.lost:
        print(text, file=sys.stderr)
    figures["sync_unchanged_s"] = Figure(median(same), "s", runs, aim=1)
    figures["cuts"] = Figure(count.cuts, "cuts", count.cuts, aim=500, at_least=True, part=rig.quick)
    figures["lost"] = Figure(len(count.lost), "files", count.cuts, aim=0, part=rig.quick)
    figures["small_per_s"] = Figure(round(_SMALL / median(small)), "1/s", runs)
    return figures


def _ours(files: BoardFiles, data: bytes, samples: dict[str, list[float]]) -> None:
    started = time.perf_counter()
    files.write("/file.bin", data)
    samples["put"].append(time.perf_counter() - started)
    time.sleep(_RECENT_SECONDS)
    started = time.perf_counter()
    found = files.read("/file.bin")
    samples["get"].append(time.perf_counter() - started)
    assert found == data
    files.rm(["/file.bin"])


def _small(files: BoardFiles) -> float:
    contents = [(f"/small/{n}.py", lambda n=n: b"# %d\n" % n * 200) for n in range(_SMALL)]
    files.mkdir(["/small"])
    started = time.perf_counter()
    files.write_all(contents)
    took = time.perf_counter() - started
    files.rm(["/small"], recursive=True)
    return took


def _unchanged(rig: Rig, files: BoardFiles) -> float:
    folder = rig.folder / "unchanged"
    for number in range(_SMALL):
        place = folder / f"package{number % 10}" / f"module{number}.py"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"# %d\n" % number * 200)
    put_tree(files, folder, "/app")
    settings = files.session.settings
    line = [sys.executable, "-m", "mqhost.cli", "--server", settings.server, "--no-tls"]
    line += ["--port", str(settings.port), "--prefix", str(settings.prefix)]
    line += ["sync", "--json", str(folder), ":app"]
    for _ in range(2):  # the first one compiles itself
        started = time.perf_counter()
        done = subprocess.run(line, capture_output=True, cwd=ROOT, env=rig.environment)
        took = time.perf_counter() - started
    told = json.loads(done.stdout)
    assert told["unchanged"] == _SMALL and not told["put"], done
    files.rm(["/app"], recursive=True)
    return took


def _bare(board: Running, data: bytes, samples: dict[str, list[float]]) -> None:
    connection = board.session.connection
    root = board.session.prefix + "/raw"
    got = bytearray()
    arrived = threading.Event()

    def hear(payload: bytes, retained: bool) -> None:
        got.extend(payload)
        if bytes(got) == b"done" or len(got) >= len(data):
            arrived.set()

    subscription = Subscription({f"{root}/out": hear})
    connection.subscribe(subscription)
    for work in ("put", "get"):
        got.clear()
        arrived.clear()
        started = time.perf_counter()
        connection.publish(f"{root}/{work}", b"%d" % len(data), qos=0)
        for start in range(0, len(data), _PIECE) if work == "put" else ():
            connection.publish(f"{root}/data", data[start : start + _PIECE], qos=0)
        assert arrived.wait(60), f"the bare program does not {work}"
        samples[work].append(time.perf_counter() - started)
    assert got == data
    connection.unsubscribe(subscription)
