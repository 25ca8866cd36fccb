"""Makes the pictures of docs/images: the main commands, run against simulated boards just now.

Each screen is an SVG, as wide as a terminal of 96 columns; that of the demo moves. What differs
from run to run (times, hashes, bytes) does not make a new picture: one is written again only when
something else is to be seen in it.
"""

import functools
import hashlib
import io
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

from ci.docs.cast import Recording, animate
from ci.docs.terminal import Screen, run_in_terminal
from mqhost import packages
from mqhost.build.board import find
from mqhost.build.build import build
from mqhost.errors import ToolError
from mqhost.link.session import Session, Status
from mqhost.link.settings import Settings
from mqhost.paths import BUILD, ROOT
from mqhost.sim.broker import Broker
from mqhost.sim.device import Device
from mqhost.sim.filesystem import default_config, provision_flash

IMAGES = ROOT / "docs" / "images"
WIDTH = 96
DEMO = "./invoke demo"
OLD, NEW = "1.4.0", "1.5.0"
PUMP, GATE, BARN = "farm/pump", "farm/gate", "farm/barn"
_MACS = {PUMP: "240ac49dc9bb", GATE: "240ac41b7e02", BARN: "240ac4a35510"}
_BOOT_SECONDS = 60.0
_PUMP = """import asyncio

async def start(board, settings):
    await asyncio.sleep(1_000_000)
"""
# A module with a mistake that takes a board down once: it waits without letting others run.
_GATE = """import asyncio
from machine import Pin
from mqboard.log import Logger

log = Logger("gate")

async def start(board, settings):
    closed = Pin(settings["pin"], Pin.IN, Pin.PULL_UP)
    await asyncio.sleep(2)
    log.info("closing")
    while board.identity.reset_cause == "power-on" and closed.value():
        pass
    for number in range(100):
        log.info("open to %d %%", number)
        if number % 5 == 3:
            log.warning("the motor takes %d mA", 2100 + number)
        await asyncio.sleep(0.2)
"""
_APP = {"tank.py": _PUMP, "pump.py": _PUMP, "pumps.csv": "flow,head\n" * 40_000}
_SHAPE = re.compile(r"<!-- shape: (\w+) -->")
# Rich's, without the fonts that it would have the reader's browser fetch from somebody else.
_FAMILY = "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
_FONTS = re.compile(r"@font-face \{\{.*?\}\}\n", re.DOTALL)


@dataclass(frozen=True)
class Shot:
    """A picture: its name, and the command lines that are run one after the other in it; `before`
    is run where nobody looks. With `typed`, pairs of a prompt and what is typed there, it moves."""

    name: str
    lines: tuple[str, ...]
    before: str = ""
    typed: tuple[tuple[str, str], ...] = ()


SHOTS = (
    Shot("boards", ("mqboard boards",)),
    Shot("info", (f"mqboard --prefix {PUMP} info",)),
    Shot(
        "eval",
        (
            f"mqboard --prefix {PUMP} eval '45+876'",
            f"mqboard --prefix {PUMP} eval 'import os; print(os.listdir())'",
        ),
    ),
    Shot(
        "files",
        (
            f"mqboard --prefix {PUMP} put -r app :",
            f"mqboard --prefix {PUMP} ls -l :app",
            f"mqboard --prefix {PUMP} df",
        ),
    ),
    Shot(
        "repl",
        (f"mqboard --prefix {PUMP} repl",),
        typed=(
            (">>>", "import asyncio\n"),
            (">>>", "led = machine.Pin(2, machine.Pin.OUT)\n"),
            (">>>", "for number in range(3):\n"),
            ("...", "led.value(not led.value())\n"),
            ("...", "print('blink', number)\n"),
            ("...", "await asyncio.sleep(0.5)\n"),
            ("...", "\n"),
            (">>>", "board.config.prefix\n"),
            (">>>", "len(seen)\n"),
            (">>>", "\4"),
        ),
    ),
    Shot("config", (f"mqboard --prefix {PUMP} config set update.confirm_s=120 log.level=debug",)),
    Shot("modules", (f"mqboard --prefix {PUMP} modules",)),
    Shot("crash", (f"mqboard --prefix {GATE} crash show",)),
    Shot(
        "log",
        (f"mqboard --prefix {GATE} log --lines 12",),
        before=f"mqboard --prefix {GATE} modules restart gate",
    ),
    Shot("ota", (f"mqboard --prefix {PUMP} ota --image app.bin",)),
)


def write(folder: Path = IMAGES, say: Callable[[str], None] = print) -> list[Path]:
    """Make all pictures in `folder`; returns those that were written, because they changed."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    with World.open(say) as world:
        for shot in SHOTS:
            path = folder / f"{shot.name}.svg"
            recording = world.take(shot)
            lines = recording.pictures[-1][1]
            drawn = functools.partial(draw, lines, shot.name)
            if shot.typed:
                drawn = functools.partial(animate, recording.pictures, WIDTH, shot.lines[0])
            if _write(path, lines, drawn):
                written.append(path)
                say(f"{path.name} is new.")
    recording = record(DEMO, ["demo"])
    lines = recording.pictures[-1][1]
    path = folder / "demo.svg"
    if _write(path, lines, lambda: animate(recording.pictures, WIDTH, DEMO)):
        written.append(path)
        say(f"{path.name} is new.")
    return written


def record(line: str, words: Sequence[str]) -> Recording:
    """Run the Invoke task that `words` are, as if somebody had typed `line`; return what was
    seen."""
    screen = Screen(WIDTH)
    recording = Recording(screen)
    screen.feed(_typed(line))
    recording.heard(0.0)
    argv = [sys.executable, "-m", "invoke", "--search-root", str(ROOT), *words]
    environment = dict(os.environ) | {"TERM": "xterm-256color", "COLUMNS": str(WIDTH)}
    code = run_in_terminal(argv, screen, environment=environment, heard=recording.heard)
    if code:
        shown = "\n".join(text.plain for text in screen.lines)
        raise ToolError(f"{line} ended with {code}:\n{shown}")
    return recording


class World:
    """A broker and three simulated boards: one in good order, one in trouble, one gone."""

    def __init__(self, broker: Broker, folder: Path, image: Path) -> None:
        self.broker = broker
        self._folder = folder
        self._desk = folder / "desk"  # where the commands are run
        shutil.copytree(image.parent, self._desk)
        (self._desk / "app").mkdir()
        for name, text in _APP.items():
            (self._desk / "app" / name).write_text(text)
        self._devices: dict[str, Device] = {}

    @classmethod
    @contextmanager
    def open(cls, say: Callable[[str], None]) -> "Iterator[World]":
        """Build two versions of the firmware and put the boards to power."""
        for purpose in ("build", "broker"):
            packages.ensure(purpose, say=say)
        sim = find("sim")
        old = build(sim, version=OLD, output=BUILD / "screens" / OLD)
        new = build(sim, version=NEW, output=BUILD / "screens" / NEW)
        table = sim.table
        with (
            ExitStack() as stack,
            tempfile.TemporaryDirectory(prefix="mqboard-screens-") as name,
        ):
            broker = stack.enter_context(Broker())
            world = cls(broker, Path(name), new.app)
            for prefix, mac in _MACS.items():
                config = default_config(prefix, broker.host, broker.port, health_s=0.5)
                pump = {"pump": {"pin": 5}, "level": {"pin": 34}, "sysinfo": {"interval_s": 60}}
                config["modules"] = {"gate": {"pin": 5}} if prefix == GATE else pump
                config["watchdog"] = {"timeout_s": 3}
                path = world._folder / f"{mac}.flash"
                files = {"/app/gate.py": _GATE.encode(), "/app/pump.py": _PUMP.encode()}
                provision_flash(path, old.flash, table, config, files=files)
                device = Device(path, table=table, mac=bytes.fromhex(mac), name=prefix)
                world._devices[prefix] = stack.enter_context(device)
            for prefix in _MACS:
                world._wait(prefix, lambda status: status.get("slot_state") == "valid")
            world._wait(GATE, lambda status: status.get("crashes"))
            world._devices[BARN].stop()
            world._wait(BARN, lambda status: status.get("state") == "offline")
            yield world

    def take(self, shot: Shot) -> Recording:
        """Run the lines of `shot`, and return what the terminal shows then, and before."""
        screen = Screen(WIDTH)
        recording = Recording(screen)
        if shot.before:
            self._run(shot.before, Screen(WIDTH))
        for line in shot.lines:
            screen.feed(_typed(line))
            recording.heard(0.0)
            self._run(line, screen, shot.typed, recording.heard)
        return recording

    def _run(
        self,
        line: str,
        screen: Screen,
        typed: Sequence[tuple[str, str]] = (),
        heard: Callable[[float], None] = lambda when: None,
    ) -> None:
        """Run a command line in `screen`; ToolError if it ends with an error."""
        code = run_in_terminal(
            ["sh", "-c", line],
            screen,
            environment=self._environment,
            cwd=self._desk,
            typed=typed,
            heard=heard,
        )
        if code:
            shown = "\n".join(text.plain for text in screen.lines)
            raise ToolError(f"{line} ended with {code}:\n{shown}")

    @property
    def _environment(self) -> dict[str, str]:
        """The environment of a person who has set up the connection there."""
        programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        names = {"HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "MQBOARD_CACHE"} & os.environ.keys()
        kept = {name: os.environ[name] for name in names}
        ours = {"PATH": programs, "TERM": "xterm-256color", "LANG": "C.UTF-8"}
        # A history of its own; and no questions to the terminal, which would have to answer.
        ours |= {"XDG_STATE_HOME": str(self._folder / "state"), "PROMPT_TOOLKIT_NO_CPR": "1"}
        ours |= {"MQBOARD_SERVER": self.broker.host, "MQBOARD_PORT": str(self.broker.port)}
        return kept | ours

    def _wait(self, prefix: str, condition: Callable[[Status], object]) -> None:
        """Wait for a status of that board that meets `condition`."""
        settings = Settings(server=self.broker.host, port=self.broker.port, prefix=prefix)
        with Session(settings) as session:
            if not session.wait_status(lambda status: bool(condition(status)), _BOOT_SECONDS):
                end = self._devices[prefix].console.tail()
                raise ToolError(f"{prefix} is not as it should be for the screens:\n{end}")


def draw(lines: Sequence[Text], name: str) -> str:
    """Return `lines` of a terminal as an SVG with rich's window around it."""
    console = Console(
        record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False)
    plain = CONSOLE_SVG_FORMAT.replace("Fira Code, monospace", f"{_FAMILY}; white-space: pre")
    return console.export_svg(
        title="mqboard",
        code_format=_FONTS.sub("", plain),
        font_aspect_ratio=0.6,
        unique_id=f"screen-{name}",
    )


def shape(lines: Sequence[Text]) -> str:
    """Return a digest of what is shown, without what is different at each run: numbers, hashes."""
    text = "\n".join(line.plain for line in lines)
    text = re.sub(r"\bg?[0-9a-f]{7,}([-.]dirty)?\b|\d[\d,.:]*", "0", text)
    return hashlib.sha256(re.sub(r"[ ─━]+", " ", text).encode()).hexdigest()[:16]


def _typed(line: str) -> bytes:
    """Return what a terminal shows of a command line that somebody types."""
    return f"\x1b[32m$\x1b[0m {line}\r\n".encode()


def _write(path: Path, lines: Sequence[Text], drawn: Callable[[], str]) -> bool:
    """Write the picture, unless the one that is there shows the same; return whether it was."""
    known = _SHAPE.search(path.read_text(encoding="utf-8")) if path.is_file() else None
    if known and known[1] == shape(lines):
        return False
    path.write_text(f"{drawn().rstrip()}\n<!-- shape: {shape(lines)} -->\n", encoding="utf-8")
    return True
