"""Runs a board on the desk: the real on-board update code in this process, on the simulated chip.

    Operator -> Router -> Board -> Receiver -> esp32.Partition -> Chip -> Flash, Bootloader, NVS
                 startup, settle, bootrecord ->       "

For work that needs thousands of boots and updates: one takes some milliseconds, a boot of the
simulated board seconds. What is not real: Python is CPython, time is skipped where the board would
wait, and MQTT, network and console are missing: messages are handed over. The modules that the
board loads are copies of its own, apart from those that the host has of the same name.
"""

import asyncio
import contextlib
import io
import json
import os
import sys
import traceback
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import ModuleType

from cryptography.hazmat.primitives.asymmetric import rsa

from ci.desk.clock import Clock, Loop
from ci.desk.filesystem import Files
from ci.desk.modules import Modules
from ci.desk.torn import Torn
from mqhost.build import board as boards
from mqhost.flash.filesystem import make_filesystem
from mqhost.flash.partition import TABLE_OFFSET, PartitionTable
from mqhost.signing.keys import SigningKey
from mqhost.sim.bootloader import Choice
from mqhost.sim.bus import Op, Request
from mqhost.sim.chip import CLOCK_START, Chip, CpuEnds, ResetCause
from mqhost.sim.esperror import EspError
from mqhost.sim.flash import PowerLost
from mqhost.sim.radio import Radio
from mqwire import error_topic, reply_topic
from mqwire.update import SIGNATURE_SIZE

PREFIX = "desk"
_MAC = b"\x24\x0a\xc4\0\0\1"
CONFIG = {
    "prefix": PREFIX,
    "networks": [{"ssid": "desk"}],
    "broker": {"host": "desk", "tls": False},
    "ntp": "",
    "update": {"health_s": 0.5, "confirm_s": 1},
}


class Ended(BaseException):
    """Raised when the CPU runs no more: it was reset, or power is gone."""


class Desk:
    """The board with the flash `flash`; every `run` is one boot, from the bootloader to its end."""

    def __init__(self, flash: Torn, table: PartitionTable):
        self.flash = flash
        self.table = table
        # Whose offers it takes: a key of its own, and of this process only.
        self.key = SigningKey(rsa.generate_private_key(65537, 8 * SIGNATURE_SIZE), "the desk")
        self.chip = Chip(flash, table, Radio({}), _MAC)
        self.cause = ResetCause.PWRON
        self.life: Life | None = None  # the last boot
        self.end: BaseException | None = None  # how the last boot ended
        self.healthy = True  # False: the board never calls itself healthy
        self.connected = True  # False: no broker can be reached
        self.brokers = {"desk"}  # the names of those that can be
        self.lost_apps: set[str] = set()  # ids of applications with which none is reached
        self.faults: list[BaseException] = []  # what on-board code let out, ever
        self.console = io.StringIO()  # what the board printed since its last boot
        self.installs: list[int] = []  # addresses of slots that were made the one to boot
        self.clock = Clock()
        self.files = Files(flash, table.find("vfs"), self._running, self._lost)
        self.modules = Modules(self._given(), {"open": self.files.open})

    def power_on(self) -> None:
        """Have the next `run` begin with power coming back."""
        self.flash.cut_power_after(None)
        self.chip.power_on(CLOCK_START)
        self.cause = ResetCause.PWRON

    def configure(self, record: Mapping[str, object]) -> None:
        """Give the board that is off another /config.json."""
        self.end = None
        self.files.mount()
        with self.files.open("/config.json", "w") as file:
            file.write(json.dumps(record))

    def fault(self, error: BaseException) -> None:
        """Note an `error` that on-board code let out."""
        self.faults.append(error)
        traceback.print_exception(error, file=self.console)

    def run(
        self, script: Callable[["Life"], Awaitable[None]], look: Callable[[Choice], None] = id
    ) -> bool:
        """Boot, and live until reset (True), loss of power, or the end of `script` (False).

        `script(life)` is what the world does to the board, which settles meanwhile; `look(choice)`
        is called when the bootloader has chosen. Raises NothingBootable.
        """
        self.end = None
        self.console = io.StringIO()
        try:
            choice = self.chip.bootloader.boot()
            look(choice)
            self.chip.start_cpu(choice.slot, self.cause)
            self.files.mount()
            with self.modules.loaded() as modules, contextlib.redirect_stdout(self.console):
                self._enter(modules, choice)
                life = Life(self)
                with asyncio.Runner(loop_factory=lambda: Loop(self.clock)) as runner:
                    runner.run(life.live(script))
        except PowerLost as error:
            self.end = error
        except Ended:
            pass
        return isinstance(self.end, CpuEnds)

    def _enter(self, modules: Mapping[str, ModuleType], choice: Choice) -> None:
        """Let the board know what it booted, why, and what time it is."""
        version = choice.image.version
        vars(modules["_bus"]).update(running=choice.slot.offset, reset_cause=int(self.cause))
        vars(modules["mqbuild"]).update(VERSION=version, SEQ=seq_of(version))
        self.cause = ResetCause.HARD
        import mqboard.clock

        mqboard.clock.ticks_ms = self.clock.ticks_ms

    def _given(self) -> dict[str, dict]:
        """Return the modules that are not there on CPython, or not to be used: contents by name."""
        sys.print_exception = _print_exception  # type: ignore[attr-defined]
        os.dupterm = lambda _: None  # type: ignore[attr-defined]
        build: dict[str, object] = {"BOARD": "sim", "MCU": "esp32", "COMMIT": "desk"}
        build |= {"BUILD_TIME": 0, "COMMITTED": True, "KEYS": (self.key.public.modulus,)}
        return {
            "_bus": {
                "call": self._call,
                "read_flash": self._read,
                "wake_cause": 0,
                "mac": _MAC,
                "slot_bytes_read": 0,
            },
            "mqbuild": build,
            "asyncio.core": {},
            # CPython's collector finds nothing here, and takes longer for it than a boot.
            "gc": {"collect": lambda: 0, "mem_free": lambda: 0, "threshold": lambda _: None},
            "os": vars(self.files.os()),
            # Life itself is the board's MQTT client and supervisor.
            "mqboard.mqtt": {"Client": lambda *_, **__: self.life},
            "mqboard.health.supervisor": {"Supervisor": lambda *_, **__: self.life},
            "mqboard.net.link": {"Link": lambda *_: _Link()},
        }

    def _call(self, op: int, x: int = 0, y: int = 0, data=None, into=None):
        """Do what boards/sim/modules/_bus.py does, without the processes."""
        self._running()
        try:
            given = b"" if data is None else bytes(data)
            answer = self.chip.handle(Request(Op(op), 0, len(given), x, y), given)
        except EspError as error:
            raise OSError(-error.code, error.name) from error
        except (PowerLost, CpuEnds) as error:
            self._lost(error)
        if op == Op.SET_BOOT:
            self.installs.append(x)
        if isinstance(answer, bytes) and into is not None:
            if len(answer) > len(into):
                raise OSError(-0x110C, "ESP_ERR_NVS_INVALID_LENGTH")
            into[: len(answer)] = answer
            return len(answer)
        return answer

    def _running(self) -> None:
        """Raise Ended if the CPU runs no more."""
        if self.end:
            raise Ended

    def _lost(self, error: PowerLost | CpuEnds) -> None:
        """End the CPU, for the reason `error`."""
        self.end = error
        if self.life:
            self.life.over.set()
        raise Ended from error

    def _read(self, address: int, buffer) -> None:
        self._running()
        buffer[:] = self.flash.read(address, len(buffer))


class Life:
    """One boot: the Board with its router and receiver, and what it says.

    It is also the board's MQTT client and its supervisor.
    """

    connects = 1
    seconds = 0
    connects = 1
    turn: Callable[[], None]
    on_up: Callable[[], None]

    def __init__(self, desk: Desk):
        from mqboard import startup

        self.said: list[tuple[str, bytes]] = []  # every message that the board published
        self.news = asyncio.Event()  # it said something
        self.up = asyncio.Event()
        self.over = asyncio.Event()  # the CPU runs no more, or the script has ended
        self.tasks: list[asyncio.Task] = []
        self._desk = desk
        self._handlers: dict[str, Callable] = {}
        desk.life = self
        self.board = startup.assemble()
        self.router = self.board.router
        if self.board.config.modules and self.board.identity.mode == "normal":
            self.board.modules = _Modules()

    async def live(self, script: Callable[["Life"], Awaitable[None]]) -> None:
        """Run the board's tasks and `script` until one ends the CPU, or `script` returns."""
        from mqboard.health.confirm import settle
        from mqboard.router import MANAGEMENT

        if self.connected:
            self.up.set()
        self.add("work", self.router.run)
        self.add("management", lambda: self.router.run(MANAGEMENT))
        self.add("settle", lambda: settle(self.board))
        mine = asyncio.create_task(script(self))
        mine.add_done_callback(lambda _: self.over.set())
        try:
            await self.over.wait()
        finally:
            for task in (mine, *self.tasks):
                task.cancel()
            await asyncio.gather(mine, *self.tasks, return_exceptions=True)
        if not self._desk.end:
            mine.result()

    def _ended(self, task: asyncio.Task) -> None:
        self.tasks.remove(task)
        error = None if task.cancelled() else task.exception()
        if error and not isinstance(error, Ended):
            self._desk.fault(error)

    def tell(self, topic: str, payload: bytes) -> None:
        """Hand a message over, as the MQTT reader does. What that raises is a fault."""
        for known, handler in list(self._handlers.items()):
            if known == topic:
                try:
                    handler(topic, memoryview(payload), False)
                except Ended:
                    pass
                except BaseException as error:
                    self._desk.fault(error)
        if topic.startswith(PREFIX + "/mqb/cmd/"):
            self.router.on_message(topic, memoryview(payload), False)

    async def reply(self, ident: str, start: int = 0, patience: float = 100) -> bytes:
        """Wait for the next reply to `ident`, from number `start` of `said` on, in board time.

        Raises TimeoutError; RuntimeError when the board answers with an error.
        """
        deadline = asyncio.get_running_loop().time() + patience
        while True:
            for topic, payload in self.said[start:]:
                start += 1
                if topic == error_topic(PREFIX, ident):
                    raise RuntimeError(payload.decode(errors="replace"))
                if topic == reply_topic(PREFIX, ident):
                    return payload
            self.news.clear()
            left = deadline - asyncio.get_running_loop().time()
            await asyncio.wait_for(self.news.wait(), max(0, left))

    # What the board sees as its supervisor and its MQTT client.

    @property
    def connected(self) -> bool:
        """Return whether there is a broker."""
        settings = self.board.config
        lost = settings.app.rpartition("/")[2] in self._desk.lost_apps
        return self._desk.connected and settings.host in self._desk.brokers and not lost

    def add(self, name: str, start: Callable, vital: bool = True) -> None:
        """Run a task of the board's."""
        task = asyncio.create_task(start())
        self.tasks.append(task)
        task.add_done_callback(self._ended)

    def calm_s(self) -> float:
        """Return how long the board has been healthy."""
        return 1e9 if self._desk.healthy else 0

    def make_room(self) -> bool:
        """Return that there is no module to stop."""
        return False

    async def subscribe(self, topic: str, handler: Callable) -> None:
        """Remember who is to hear of `topic`."""
        self._handlers[topic] = handler

    async def unsubscribe(self, topic: str) -> None:
        """Forget who is to hear of `topic`."""
        self._handlers.pop(topic, None)

    async def publish(self, topic: str, payload: bytes, qos: int = 0, retain: bool = False) -> bool:
        """Take a message of the board's; its own commands come back to it."""
        self.said.append((topic, bytes(payload)))
        self.news.set()
        if topic.startswith(PREFIX + "/mqb/cmd/"):
            self.router.on_message(topic, payload, False)
        await asyncio.sleep(0)
        return True

    def publish_now(self, topic: str, payload: bytes) -> None:
        """Take a message of the board's from code that cannot wait."""
        self.said.append((topic, bytes(payload)))


class _Modules:
    """The board's modules: none runs here."""

    all = ()


class _Link:
    """The board's network, which is always there."""

    def connected(self) -> bool:
        return True

    def address(self) -> str:
        return "desk"

    def rssi(self) -> int:
        return -50

    def restart(self) -> None:
        pass


def seq_of(version: str) -> int:
    """Return the seq of the images that tests make: their version "7.x" has 7."""
    return int(version.partition(".")[0])


def open_desk(path: Path) -> Desk:
    """Make a desk board with a blank flash in the new file `path`."""
    definition = boards.find("sim")
    table = definition.table
    Torn.create(path, definition.flash_size, bytes(TABLE_OFFSET) + table.to_bytes())
    flash = Torn(path)
    vfs = table.find("vfs")
    content = {"/config.json": json.dumps(CONFIG).encode()}
    flash.program(vfs.offset, make_filesystem(vfs.size, content))
    return Desk(flash, table)


def _print_exception(error: BaseException, file=None) -> None:
    if file is not None:
        file.write("".join(traceback.format_exception(error)).encode())
