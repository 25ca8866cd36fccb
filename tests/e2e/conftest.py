"""Provides real parts for the end-to-end tests: firmware built here, a mosquitto, simulated boards.

Firmware is built once per variant and session; boards get a flash, a prefix and a MAC of their own
and are stopped at the end of the test.
"""

import itertools
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import standalone
import wheels
from waiting import wait_until

from mqhost.build import board as boards
from mqhost.build import build as build_module
from mqhost.build.build import build
from mqhost.build.revision import Revision, read_revision
from mqhost.build.sources.source import planned_source
from mqhost.cli.main import main
from mqhost.errors import BoardError, SilentBoardError
from mqhost.link.session import Session
from mqhost.link.settings import Settings
from mqhost.remote.board_files import BoardFiles
from mqhost.sim.broker import Broker
from mqhost.sim.device import HEAP, Device
from mqhost.sim.filesystem import default_config, provision_flash

BIN = Path(sys.executable).parent
BOOT = 30.0  # seconds a board may take to be there on a slow, noisy machine
PATIENCE = 30  # seconds of silence that a command bears
_numbers = itertools.count()


@pytest.fixture(scope="session")
def sim():
    return boards.find("sim")


@pytest.fixture(scope="session", autouse=True)
def one_revision():
    """Keep one revision for all builds of a run: files may change while the tests run."""
    found = read_revision()

    commit = found.commit.removesuffix("-dirty")  # builds are those of a commit, whatever is edited

    def revision(version: str | None = None, *of_a_project) -> Revision:
        if of_a_project:
            return read_revision(version, *of_a_project)
        return replace(found, version=version or found.version, commit=commit)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build_module, "read_revision", revision)
        yield


@pytest.fixture(scope="session")
def firmware(sim, tmp_path_factory):
    """Build the tree as it is."""
    return build(sim, output=tmp_path_factory.mktemp("firmware"))


@pytest.fixture(scope="session")
def variant(sim, firmware, tmp_path_factory):
    """Build other firmware: variant("2.0", {"mqboard/net/stream.py": "..."}) -> BuildResult."""
    made = {}

    def make(version, modules=None):
        key = json.dumps([version, modules])
        if key not in made:
            folder = tmp_path_factory.mktemp("variant")
            extra = None
            for name, text in (modules or {}).items():
                extra = folder / "extra"
                (extra / name).parent.mkdir(parents=True, exist_ok=True)
                (extra / name).write_text(text)
            made[key] = build(sim, version=version, output=folder / "build", extra_frozen=extra)
        return made[key]

    return make


@pytest.fixture(scope="session")
def alone(sim, firmware, tmp_path_factory):
    """Make a folder with ordinary MicroPython and the MQTT client, and nothing else of ours."""
    source = planned_source(sim).path
    return standalone.prepare(firmware.app, source, tmp_path_factory.mktemp("alone"))


@pytest.fixture(scope="session")
def release(tmp_path_factory):
    """Make wheel and sdist of a release."""
    return wheels.make_release(tmp_path_factory.mktemp("release"))


@pytest.fixture(scope="session")
def broker():
    with Broker() as running:
        yield running


class Board:
    """A simulated board with its flash file, and ways to talk to it."""

    def __init__(
        self,
        folder,
        sim,
        firmware,
        broker,
        files=None,
        heap=HEAP,
        path=None,
        access_points=None,
        fallback=None,
        protocol=None,
        uarts=None,
        air=None,
        mac=None,
        **changes,
    ):
        number = next(_numbers)
        self.prefix = changes.get("prefix", f"e2e/{number}")
        self.broker = broker
        self.path = path or folder / f"flash-{number}.bin"
        self.table = sim.table
        config = default_config(self.prefix, broker.host, broker.port, health_s=0.5)
        config["broker"] |= protocol or {}
        if fallback:
            config["broker"]["fallback"] = {"host": fallback.host, "port": fallback.port}
        provision_flash(self.path, firmware.flash, self.table, config | changes, files=files)
        self.device = Device(
            self.path,
            table=self.table,
            heap=heap,
            networks=access_points,
            mac=mac,
            name=self.prefix,
        )
        if air:
            self.device.join_air(air)
        for uart, terminal in (uarts or {}).items():
            self.device.connect_uart(uart, terminal)

    def settings(self, **changes):
        values = {"server": self.broker.host, "port": self.broker.port, "tls": False}
        values |= {"prefix": self.prefix, "timeout": PATIENCE}
        # A board that is about to come back, as from an outage, is waited for.
        return Settings(**values | {"patient": True} | changes)

    def session(self, **changes):
        return Session(self.settings(**changes))

    def wait_online(self, timeout=BOOT):
        """Wait for a birth message and return it."""
        with self.session() as session:
            return self.wait_status(session, lambda status: True, timeout)

    def wait_status(self, session, condition, timeout=BOOT):
        """Wait for an online status that meets `condition`; fails with the console's end."""
        found = session.wait_status(
            lambda status: status.get("state") == "online" and condition(status), timeout
        )
        assert found, f"no such status from {self.prefix}:\n{self.device.console.tail()}"
        return found

    def wait_confirmed(self, timeout=BOOT):
        with self.session() as session:
            ok = ("valid", "undefined")
            return self.wait_status(session, lambda status: status["slot_state"] in ok, timeout)

    def eval(self, code):
        """Evaluate and return the answer as text."""
        with self.session() as session:
            return session.request("eval", code.encode()).data.decode()

    def slot_is_blank(self):
        """Return whether nothing was written to the second slot."""
        slot = self.table.slots[1]
        with self.path.open("rb") as file:
            file.seek(slot.offset)
            return file.read(slot.size) == b"\xff" * slot.size

    def wait_settled(self, timeout=2 * BOOT):
        """Wait until the board is healthy and keeps its configuration as a good one."""
        with self.session() as session:

            def settled():
                try:
                    return session.request("eval", b"board.settled").data == b"True"
                except BoardError as error:  # a boot over TLS takes most of the heap for a while
                    assert "MemoryError" in str(error), error
                except SilentBoardError:  # it has lost its connection, which comes back
                    return False

            wait_until(settled, timeout, self.device.console.tail)

    def command(self, *arguments, **options):
        """Start `mqboard --prefix …`; returns the process."""
        argv = [BIN / "mqboard", "--prefix", self.prefix, "--server", self.broker.host]
        argv += ["--port", str(self.broker.port), "--timeout", str(PATIENCE), *arguments]
        environment = {key: value for key, value in os.environ.items() if "MQBOARD" not in key}
        return subprocess.Popen(
            [str(word) for word in argv],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment | {"COLUMNS": "200"},
            **options,
        )

    def mqboard(self, *arguments, timeout=120, **options):
        """Run `mqboard --prefix …` to its end; returns (exit code, stdout, stderr)."""
        process = self.command(*arguments, **options)
        try:
            out, err = process.communicate(timeout=timeout)
        finally:
            process.kill()
        return process.returncode, out, err

    def said(self, *arguments, **options):
        """Run `mqboard --prefix …`, which must succeed; returns what it printed."""
        code, out, err = self.mqboard(*arguments, **options)
        assert code == 0, f"{arguments}: {code}\n{out}{err}{self.device.console.tail()}"
        return out


def _making(folder, sim, firmware, broker):
    """Yield make(firmware=…, update={…}) -> Board with power; stop all that it made. `at`: another
    broker, or what leads to it."""
    made = []

    def make(image=firmware, at=broker, **changes):
        board = Board(folder, sim, image, at, **changes)
        made.append(board)
        board.device.start()
        return board

    yield make
    for board in made:
        board.device.stop()


@pytest.fixture
def make_board(tmp_path, sim, firmware, broker):
    """Give make_board(firmware=…, update={…}) -> Board with power, not yet online; `path`: with
    this flash file, as it is if there is one."""
    yield from _making(tmp_path, sim, firmware, broker)


@pytest.fixture(scope="module")
def make_shared_board(tmp_path_factory, sim, firmware, broker):
    """Give the same, for boards that the tests of a file share."""
    yield from _making(tmp_path_factory.mktemp("boards"), sim, firmware, broker)


@pytest.fixture(scope="module")
def shared_board(make_shared_board):
    """Give one board, online, to tests that leave it as it was."""
    made = make_shared_board()
    made.wait_online()
    return made


@pytest.fixture
def board(make_board):
    """Give one board, online."""
    made = make_board()
    made.wait_online()
    return made


@pytest.fixture
def run(shared_board, capfdbinary, tmp_path, monkeypatch):
    """Give run(*words) -> (exit code, stdout, stderr) in an empty folder; the board is cleaned."""
    monkeypatch.chdir(tmp_path)
    settings = shared_board.settings()
    options = ["--prefix", shared_board.prefix, "--server", settings.server]
    options += ["--port", str(settings.port), "--no-tls"]

    def call(*words):
        capfdbinary.readouterr()
        code = main([*options, *map(str, words)])
        out, err = capfdbinary.readouterr()
        return code, out.decode(), err.decode()

    yield call
    with shared_board.session() as session:
        files = BoardFiles(session)
        names = [entry.path for entry in files.ls("/") if entry.path != "config.json"]
        files.rm(names, recursive=True)
