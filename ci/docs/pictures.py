"""Makes the pictures of docs/pictures: the page of a fleet, as a browser shows it just now.

The boards of ci/docs/screens.py run simulated; of the others in the list only the statuses are
there, and those that are updated are a crowd (`mqboard crowd`). What the charts show is made up: a
day is too long to wait for. A picture is written again only when something else is to be seen in
it, apart from numbers.
"""

import hashlib
import json
import math
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from ci.browser import ENTER, PHONE, WIDE, Browser
from ci.docs.screens import GATE, NEW, OLD, PUMP, World
from ci.serving import database, serving
from ci.voices import Voices
from mqhost import packages
from mqhost.fleet.page.vendored import HERE
from mqhost.fleet.store.history import History, Sample
from mqhost.fleet.store.store import Store
from mqhost.paths import BUILD, ROOT
from mqhost.sim.broker import Broker

PICTURES = ROOT / "docs" / "pictures"
_SHAPES = "shapes.json"
_FARM, _PLANT = 80, 60  # boards
_PLANT_OPTIONS = {"canary": "5%", "wave": "30%,70%,100%", "max_failed": "20%", "settle": "2s"}
_DAY = 24 * 3600
_PROMPT = ".xterm-helper-textarea"


@dataclass(frozen=True)
class Shot:
    """A picture: its name, the page, what is done there before, and the size of the screen."""

    name: str
    path: str
    before: Callable[[Browser], object]
    size: tuple[int, int] = WIDE
    dark: bool = False


def _board(browser: Browser) -> None:
    browser.see("#facts", "Free heap")
    browser.see("#log", "open to")
    browser.see(".chart canvas")


def _file(browser: Browser) -> None:
    browser.see("#edit textarea")


def _console(browser: Browser) -> None:
    for line, answer in (
        ("import asyncio", ">>>"),
        ("for number in range(3):", "..."),
        ("print('blink', number)", "..."),
        ("await asyncio.sleep(0.1)", "..."),
        ("", "blink 2"),
        ("board.config.prefix", PUMP),
    ):
        browser.see("#console-state", "ready")
        browser.type(_PROMPT, line + ENTER)
        browser.wait(lambda answer=answer: answer in browser.text(".xterm-rows"))
    browser.see("#console-state", "ready")


def _moving(browser: Browser) -> None:
    browser.wait(lambda: len(browser.all(".wave:nth-of-type(3) i.done")) > 8, 120)
    browser.wait(lambda: browser.all(".wave:nth-of-type(3) i.sending"), 20)


SHOTS = (
    Shot("boards", "/", lambda browser: browser.see("#rows tr"), (1240, 720)),
    Shot("board", f"/board?prefix={GATE}", _board, (1240, 1080)),
    Shot("file", f"/board?prefix={PUMP}&tab=files&file=/app/pump.py", _file, (1240, 760)),
    Shot("console", f"/board?prefix={PUMP}&tab=console", _console, (1240, 600)),
    Shot("rollout", "/rollouts/1", _moving, (1240, 764)),
    Shot("phone", "/?show=look", lambda browser: browser.see("#rows tr"), PHONE, True),
)


def write(folder: Path = PICTURES, say: Callable[[str], None] = print) -> list[Path]:
    """Make all pictures in `folder`; returns those that were written, because they changed."""
    packages.ensure("page", say=say)
    folder.mkdir(parents=True, exist_ok=True)
    known = folder / _SHAPES
    shapes = json.loads(known.read_text()) if known.is_file() else {}
    written = []
    with (
        tempfile.TemporaryDirectory(prefix="mqboard-pictures-") as name,
        World.open(say) as world,
        _fleet(world.broker, Path(name)) as url,
        Browser.open(Path(name) / "profile") as browser,
    ):
        browser.url = url
        for shot in SHOTS:
            picture, shape = _take(browser, shot)
            path = folder / f"{shot.name}.png"
            if shapes.get(shot.name) != shape or not path.is_file():
                path.write_bytes(picture)
                shapes[shot.name] = shape
                written.append(path)
                say(f"{path.name} is new.")
    known.write_text(json.dumps(shapes, indent=2) + "\n")
    return written


def _take(browser: Browser, shot: Shot) -> tuple[bytes, str]:
    """Return a picture as a small PNG, and what it shows without its numbers."""
    browser.size(shot.size, 2.0 if shot.size == PHONE else 1.25)
    browser.dark(shot.dark)
    browser.go(shot.path)
    shot.before(browser)
    png = browser.driver.get_screenshot_as_png()
    argv = ["pngquant", "--quality", "60-95", "--speed", "1", "--strip", "64", "-"]
    small = subprocess.run(argv, input=png, capture_output=True, check=True).stdout
    # Which boards are at which point is different at each run, too.
    words = sorted(set(re.findall(r"[^\W\d]{3,}", browser.text("main"))))
    look = (HERE / "static" / "page.css").read_bytes()
    seen = "" if shot.path.startswith("/rollouts") or "prefix" in shot.path else " ".join(words)
    return small, hashlib.sha256(look + repr(shot.size).encode() + seen.encode()).hexdigest()[:16]


@contextmanager
def _fleet(broker: Broker, folder: Path) -> Iterator[str]:
    """Serve the boards of the pictures; yield the address. A rollout has begun."""
    with (
        Voices(broker) as voices,
        _crowd(broker),
        serving(broker, folder) as url,
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        voices.farm(_FARM)
        _remember(broker, database(folder))
        token = client.get("/api/token").json()["csrf_token"]
        client.headers["x-csrf-token"] = token
        build = BUILD / "screens" / NEW
        names = [name for name in ("app.bin", "image.json", "image.sig") if (build / name).exists()]
        files = [("files", (name, (build / name).read_bytes())) for name in names]
        image = client.post("/api/images", files=files).raise_for_status().json()["sha256"]
        _wait(client, _PLANT)
        wish = {"images": [image], "pattern": "plant/#", "options": _PLANT_OPTIONS}
        client.post("/api/rollouts", json=wish).raise_for_status()
        yield url


@contextmanager
def _crowd(broker: Broker) -> Iterator[None]:
    """Play the boards that are updated."""
    argv = [str(Path(sys.executable).parent / "mqboard"), "--server", broker.host]
    argv += ["--port", str(broker.port), "--no-tls", "crowd", "--boards", str(_PLANT)]
    argv += ["--prefix", "plant/{n}", "--type", "sim:esp32", "--fail", "rollback=5"]
    argv += ["--image", str(BUILD / "screens" / OLD / "app.bin")]
    argv += ["--restart", "0.5", "--health", "0.5", "--block-ms", "10"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(argv, **quiet)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def _wait(client: httpx.Client, count: int) -> None:
    """Wait until the crowd is there."""
    deadline = time.monotonic() + 60
    while client.get("/api/boards", params={"pattern": "plant/#"}).json()["online"] < count:
        assert time.monotonic() < deadline, "the crowd is not there"
        time.sleep(0.2)


def _remember(broker: Broker, place: str) -> None:
    """Keep a day that the gate might have had."""
    now = time.time()
    samples = []
    for minute in range(0, _DAY // 60, 5):
        wave = math.sin(minute / 90) + 0.6 * math.sin(minute / 17) + 0.3 * math.sin(minute * 2.1)
        heap, rssi = int(118_000 + 4_000 * wave - 3 * minute), int(-64 + 4 * wave)
        at = now - _DAY + 60 * minute
        samples.append(Sample(GATE, at, heap, rssi, int(minute in (300, 305, 860))))
    with Store(place) as store:
        History(store.database, f"{broker.host}:{broker.port}").add(samples)
