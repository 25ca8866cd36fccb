"""Holds what chaos is made in: a broker, boards behind a proxy each, images, and who watches them.

A board connects through a proxy of its own, so that its line can fail alone. Everybody else is
connected to the broker directly.
"""

import ast
import contextlib
import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from ci.chaos.watch import Watch
from ci.proxies.faultproxy import HOST, FaultProxy
from mqhost.errors import ToolError
from mqhost.flash.espimage import build_app_image, executable_of
from mqhost.flash.partition import PartitionTable
from mqhost.link.session import Session
from mqhost.link.settings import Settings
from mqhost.paths import FROZEN
from mqhost.signing.keys import find_signing_key
from mqhost.signing.offer import Offer, load_image
from mqhost.sim.broker import Broker
from mqhost.sim.device import Device
from mqhost.sim.filesystem import default_config, provision_flash

ROOT = "chaos"
BACK_SECONDS = 90.0  # what takes longer is lost
_KEEPALIVE_SECONDS = 5  # after 1.25 times that a board gives up a line that is silent
_MODULE = Path(__file__).with_name("chaotic.py")
_STREAM = FROZEN / "mqboard" / "net" / "stream.py"
_DEAF = """

async def open_stream(*_, **__):
    raise OSError(113)  # EHOSTUNREACH
"""


@dataclass(frozen=True)
class Image:
    """An app image with its offer."""

    offer: Offer
    app: bytes

    @classmethod
    def load(cls, path: Path) -> "Image":
        """Read what a build made."""
        return cls(*load_image(path))

    def renamed(self, version: str, executable: bytes | None = None) -> "Image":
        """Return an image of another version with the same program, or another."""
        offer = self.offer
        app = build_app_image(
            executable_of(self.app) if executable is None else executable,
            chip_id=offer.chip_id,
            project="chaos",
            version=version,
            build_time=0,
            idf_version="chaos",
        )
        facts = {"board": offer.board, "mcu": offer.mcu, "chip_id": offer.chip_id}
        key = find_signing_key()
        made = Offer.make(app, **facts, version=version, seq=offer.seq, key=key.public.id)
        return Image(made.signed(key.sign(made.to_bytes())), app)


def deaf_modules() -> dict[str, str]:
    """Return what makes firmware boot, be healthy, and never reach a broker: files to freeze."""
    return {"mqboard/net/stream.py": _STREAM.read_text() + _DEAF}


class Lost(Exception):
    """Raised when a board is not, or does not come back, as it must be; the text says how."""


class Board:
    """One board: `image` and `config` are what it must run with in the end."""

    def __init__(self, world: "World", number: int, flash: Path, table: PartitionTable):
        self.name = f"board {number}"
        self.prefix = f"{ROOT}/{number}"
        self.world = world
        self.proxy = FaultProxy(world.broker.port)
        self.image = world.good[0]
        self.busy = ""  # what is being done to it
        config = default_config(self.prefix, HOST, self.proxy.port, health_s=0.5, confirm_s=12)
        config["broker"]["keepalive"] = _KEEPALIVE_SECONDS
        config["update"]["allow_downgrade"] = True
        config["watchdog"] = {"timeout_s": 5}
        config["modules"] = {"chaotic": {}}
        self.config = config
        path = world.folder / f"chaos-{number}.flash"
        files = {"/chaotic.py": _MODULE.read_bytes()}
        provision_flash(path, flash, table, config, files=files)
        self.device = Device(path, table=table, name=self.name)

    @contextlib.contextmanager
    def running(self):
        """Run it while the `with` block does."""
        with self.proxy, self.device:
            yield self

    def session(self) -> Session:
        """Make a session with it, over the broker."""
        broker = self.world.broker
        return Session(
            Settings(server=HOST, port=broker.port, tls=False, prefix=self.prefix, timeout=5)
        )

    def wait_back(self) -> float:
        """Wait until it answers; return the seconds. Raises Lost."""
        seconds = self.world.watch.wait_there(self.prefix, BACK_SECONDS)
        if seconds is None:
            raise Lost(f"it does not answer within {BACK_SECONDS:g} s")
        return seconds

    def ask(self, command: str, payload: bytes = b"") -> bytes:
        """Return its answer to a command, whatever goes on meanwhile. Raises Lost."""
        deadline = time.monotonic() + BACK_SECONDS
        while True:
            try:
                with self.session() as session:
                    return session.request(command, payload).data
            except ToolError as error:
                if time.monotonic() > deadline:
                    raise Lost(f"no answer to {command}: {error}") from error
                time.sleep(0.2)

    def write_config(self, text: bytes) -> None:
        """Write its configuration's file."""
        self.ask("eval", b"f = open('/config.json', 'wb'); f.write(%r); f.close()" % text)

    def revive_module(self) -> None:
        """Have its module run, should it wait or the board have given it up for all its crashes."""
        action = {"disabled": b"enable", "waiting": b"restart"}.get(self.module_state())
        if action:
            self.ask("modules", action + b" chaotic")

    def module_state(self) -> str:
        """Return the state of its module. Raises Lost if it has none."""
        modules = json.loads(self.ask("modules", b"list"))["modules"]
        if not modules:
            raise Lost("it runs without its module")
        return modules[0]["state"]

    def wait_settled(self) -> None:
        """Wait until it is healthy, and counts no more boots that were not. Raises Lost."""
        deadline = time.monotonic() + BACK_SECONDS
        while self.ask("eval", b"board.settled") != b"True":
            if time.monotonic() > deadline:
                raise Lost("it does not settle")
            time.sleep(0.1)

    def check(self) -> None:
        """Raise Lost unless it is as it must be in the end."""
        self.wait_back()
        self.wait_settled()
        facts = json.loads(self.ask("info"))
        wanted = {
            "image": self.image.offer.sha256,
            "mode": "normal",
            "state": "online",
            "storage": "ok",
        }
        wrong = [f"{key} is {facts.get(key)!r}" for key in wanted if facts.get(key) != wanted[key]]
        if facts.get("slot_state") not in ("valid", "undefined"):
            wrong.append(f"slot_state is {facts.get('slot_state')!r}")
        text = ast.literal_eval(self.ask("eval", b"open('/config.json').read()").decode())
        if json.loads(text) != self.config:
            wrong.append("its configuration is another one")
        self.revive_module()
        if (state := self.module_state()) not in ("running", "waiting"):
            wrong.append(f"its module is {state}")
        if wrong:
            raise Lost("; ".join(wrong))


class World:
    """A broker, `count` boards with the firmware in `flash` (of which `app` is the app.bin), and a
    watch. `bad`: app.bin files of firmware that boots and must be rolled back. Use it as a context
    manager."""

    def __init__(
        self,
        folder: Path,
        app: Path,
        flash: Path,
        bad: list[Path],
        table: PartitionTable,
        count: int,
    ):
        self.folder = folder
        first = Image.load(app)
        self.good = [first, first.renamed("chaos.2")]
        self.bad = [Image.load(path) for path in bad]
        self._persistence = folder / "chaos-broker"
        self._persistence.mkdir()
        self.broker = Broker(persistence=self._persistence)
        self._cleanup = contextlib.ExitStack()
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.broker)
            self.watch = stack.enter_context(Watch(HOST, self.broker.port, ROOT))
            self.boards = [Board(self, number, flash, table) for number in range(count)]
            for board in self.boards:
                stack.enter_context(board.running())
            self._cleanup = stack.pop_all()

    def restart_broker(self, forget: bool, hard: bool, seconds: float) -> None:
        """Stop the broker, `hard` without a word, and start it again after that time; `forget`:
        without what it had kept."""
        self.broker.stop(hard)
        if forget:
            shutil.rmtree(self._persistence)
            self._persistence.mkdir()
        time.sleep(seconds)
        self.broker.start()

    def __enter__(self) -> "World":
        return self

    def __exit__(self, *_: object) -> None:
        self._cleanup.close()
