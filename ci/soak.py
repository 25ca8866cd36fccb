"""Soaks one board: messages, reconnects, failing evals and updates of years, in minutes.

It is a simulated board with the real firmware, behind a proxy that breaks its connection. Its
module takes messages by the hundred thousand. Before and after each kind of work the heap in use is
compared, in one boot; updates end in boots, so it is compared in the first and in the last of them.
Only the wait before a reconnect is shortened.
"""

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import paho.mqtt.client as paho

from ci.chaos.watch import Watch
from ci.chaos.world import Image
from ci.proxies.faultproxy import FaultProxy
from mqhost.errors import BoardError, ToolError
from mqhost.flash.partition import PartitionTable
from mqhost.link.session import Session
from mqhost.link.settings import Settings
from mqhost.progress import Progress, silent
from mqhost.sim.broker import HOST
from mqhost.sim.device import Device
from mqhost.sim.filesystem import default_config, provision_flash
from mqhost.update.push import push

_PREFIX = "soak/board"
_CHUNK = 500  # messages on their way at once: a broker drops what is too many
_SECONDS = 60.0
_LOOK_SECONDS = 0.02  # whether the board is back
_CALM_SECONDS = 5.0
_NOISE = 128  # bytes more or less that mean nothing
# The very first of each kind of work loads code that stays.
_WARM_UP = _CHUNK, 3, 3
_MODULE = b"""
import asyncio

async def start(board, settings):
    topic = board.config.prefix + "/soak"
    count = 0
    done = asyncio.Event()

    def take(topic, payload, retained):
        nonlocal count
        count += 1
        if count % %d == 0:
            done.set()

    await board.client.subscribe(topic, take, qos=1)
    while True:
        await done.wait()
        done.clear()
        await board.client.publish(topic + "/done", b"", qos=1)
""".replace(b"%d", str(_CHUNK).encode())


@dataclass(frozen=True)
class Work:
    """How much of each kind."""

    messages: int
    reconnects: int
    evals: int
    updates: int


@dataclass(frozen=True)
class Growth:
    """By how many bytes the heap in use grew: over all that goes on within a boot, and from the
    boot before all updates to that after them. Negative: it shrank."""

    boot: int
    updates: int

    @property
    def worst(self) -> int:
        """The larger of the two, without a sign: what shrinks was not the same before, either."""
        return max(abs(self.boot), abs(self.updates))


class Soak:
    """A board with the firmware in `app` and `flash`, at the broker on `port`."""

    def __init__(self, board: Device, session: Session, proxy: FaultProxy, watch: Watch):
        self._device = board
        self._session = session
        self._proxy = proxy
        self._watch = watch

    def run(self, work: Work, images: tuple[Image, Image], progress: Progress = silent) -> Growth:
        """Do all of `work`; `images` are the one that runs, and another to change it for. Raises
        ToolError for a board that does not do what it has to."""
        self._settle()
        self._session.request("eval", b"board.client.backoff_ms = 1")
        self._work(*_WARM_UP, silent)
        before = self._calm_heap()
        boots = len(self._device.boots)
        self._work(work.messages, work.reconnects, work.evals, progress)
        growth = self._calm_heap(before) - before
        if len(self._device.boots) > boots:
            raise ToolError(f"It has reset meanwhile.\n{self._device.console.tail()}")
        if not work.updates:
            return Growth(growth, 0)
        self._update(images, 2, silent)
        before = self._calm_heap()
        self._update(images, work.updates, progress)
        return Growth(growth, self._calm_heap(before) - before)

    def _work(self, messages: int, reconnects: int, evals: int, progress: Progress) -> None:
        self._send(messages, progress)
        self._reconnect(reconnects, progress)
        for done in range(evals):
            progress("soaking: evals", done, evals)
            try:
                self._session.request("eval", b"1/0")
            except BoardError:
                continue
            raise ToolError("1/0 was evaluated without an error.")

    def _send(self, count: int, progress: Progress) -> None:
        """Send so many messages, whole chunks, and have the module take them all."""
        with _Sender(self._session.settings) as sender:
            for done in range(0, count, _CHUNK):
                progress("soaking: messages", done, count)
                sender.send_chunk()

    def _reconnect(self, count: int, progress: Progress) -> None:
        connects = self._connects()
        for done in range(count):
            progress("soaking: reconnects", done, count)
            self._proxy.cut(reset=done % 2 == 0)
            if self._watch.wait_there(_PREFIX, _SECONDS) is None:
                raise ToolError(f"It does not come back.\n{self._device.console.tail()}")
        made = self._connects() - connects
        if made < count:
            raise ToolError(f"It connected {made} times, and its connection was cut {count} times.")

    def _update(self, images: tuple[Image, Image], count: int, progress: Progress) -> None:
        """Make so many updates, an even number: it runs the same image before and after."""
        for done in range(count):
            progress("soaking: updates", done, count)
            old, new = images if done % 2 == 0 else images[::-1]
            push(self._session, new.offer, new.app, base=old.app)
        self._settle()

    def _settle(self) -> None:
        deadline = time.monotonic() + _SECONDS
        while self._session.request("eval", b"board.settled").data != b"True":
            if time.monotonic() > deadline:
                raise ToolError(f"It does not settle.\n{self._device.console.tail()}")

    def _connects(self) -> int:
        return int(self._session.request("eval", b"board.client.connects").data)

    def _calm_heap(self, wanted: int = 0) -> int:
        """Return the bytes in use when what has ended was cleared away: the least of some seconds,
        of fewer when it is about what is `wanted`."""
        least = self._heap()
        deadline = time.monotonic() + _CALM_SECONDS
        while least > wanted + _NOISE and time.monotonic() < deadline:
            time.sleep(_CALM_SECONDS / 20)
            least = min(least, self._heap())
        return least

    def _heap(self) -> int:
        return int(json.loads(self._session.request("info").data)["heap_used"])


class _Sender:
    """Sends messages to the module, a chunk at a time."""

    def __init__(self, settings: Settings) -> None:
        self._topic = f"{_PREFIX}/soak"
        self._done = threading.Semaphore(0)
        self._ready = threading.Event()
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        self._client.max_inflight_messages_set(_CHUNK)
        self._client.on_connect = lambda client, *_: client.subscribe(self._topic + "/done", 1)
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = lambda *_: self._done.release()
        self._client.connect(settings.server, settings.port)

    def __enter__(self) -> "_Sender":
        self._client.loop_start()
        self._ready.wait(_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def send_chunk(self) -> None:
        """Send one, half of it at QoS 1, and wait until the module has it."""
        for number in range(_CHUNK):
            self._client.publish(self._topic, bytes(number % 100), number % 2)
        if not self._done.acquire(timeout=_SECONDS):
            raise ToolError("The module does not get all its messages.")


@contextlib.contextmanager
def soaking(folder: Path, flash: Path, table: PartitionTable, port: int) -> Iterator[Soak]:
    """Give a board with the firmware of `flash` (a flash.bin), at the broker on `port`."""
    settings = Settings(server=HOST, port=port, tls=False, prefix=_PREFIX, timeout=20)
    with FaultProxy(port) as proxy, Watch(HOST, port, "soak", _LOOK_SECONDS) as watch:
        config = default_config(_PREFIX, HOST, proxy.port, health_s=0.5, confirm_s=30)
        config["update"]["allow_downgrade"] = True
        config["modules"] = {"soaked": {}}
        path = folder / "soak.flash"
        provision_flash(path, flash, table, config, files={"/soaked.py": _MODULE})
        with Device(path, table=table, name="soak") as device, Session(settings) as session:
            if not session.wait_status(lambda status: status.get("state") == "online", _SECONDS):
                raise ToolError(f"It does not come up.\n{device.console.tail()}")
            yield Soak(device, session, proxy, watch)
