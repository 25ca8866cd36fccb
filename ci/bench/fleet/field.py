"""Gives the figures of fleets what they measure on: crowds of boards in a process of their own, and
rollouts to them by the real driver.
"""

import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mqhost.errors import ToolError
from mqhost.fleet.cast.pusher import Cast
from mqhost.fleet.many import call_roll
from mqhost.fleet.rollout.drive import Driver, drive
from mqhost.fleet.rollout.field import BoardField
from mqhost.fleet.rollout.options import Options
from mqhost.fleet.rollout.plan import make_plan
from mqhost.fleet.rollout.states import DONE, Board
from mqhost.fleet.store.store import Store
from mqhost.link.connection import Connection
from mqhost.link.roster import depths_of
from mqhost.link.settings import Settings
from mqhost.paths import ROOT
from mqhost.signing.offer import Offer

_CONNECT_S = 900.0
_END_S = 120.0
# Linux's struct tcp_info: tcpi_bytes_acked and tcpi_bytes_received (linux/tcp.h).
_TCP_INFO, _BYTES_ACKED = 11, 120


@dataclass
class Crowd:
    """A crowd that runs; once it has ended, `figures` are what it said of itself."""

    pid: int
    figures: dict = field(default_factory=dict)


@contextlib.contextmanager
def crowd(
    port: int, boards: int, *options: str, prefix: str = "crowd/{n}", rate: int = 200
) -> Iterator[Crowd]:
    """Run `mqboard crowd` at the broker on `port` while the `with` block does; all are online."""
    line = [sys.executable, "-m", "mqhost.cli", "--server", "127.0.0.1", "--port", str(port)]
    line += ["crowd", "--json", "--boards", str(boards), "--rate", str(rate)]
    process = subprocess.Popen(
        [*line, "--prefix", prefix, *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout and process.stderr
    running = Crowd(process.pid)
    words: list[str] = []
    online = threading.Event()
    reader = threading.Thread(target=_read, args=(process.stderr, words, online), daemon=True)
    reader.start()
    try:
        if not online.wait(_CONNECT_S):
            raise ToolError(f"The crowd did not come up: {words[-1:]}")
        yield running
    finally:
        process.send_signal(signal.SIGINT)
        try:
            output = process.stdout.read()
            process.wait(_END_S)
        finally:
            process.kill()
            process.wait()
            reader.join()
            process.stdout.close()
            process.stderr.close()
    if process.returncode:
        raise ToolError(f"The crowd failed: {words[-3:]}")
    running.figures.update(json.loads(output))


def _read(stream, words: list[str], online: threading.Event) -> None:
    for line in stream:
        words.append(line.rstrip())
        online.set()
    online.set()


@dataclass
class Rolled:
    """How a rollout went: the boards by state, each row, the seconds it took."""

    states: Counter
    rows: list[Board]
    state: str
    seconds: float


class RollingOut:
    """A rollout of `images` to the boards at `prefixes`, driven in a thread while the `with` block
    runs, over one connection, as by `mqboard fleet rollout`. `timeout`, in seconds, is what the
    broker and a board have to answer; `wish` are options of a rollout.
    """

    def __init__(
        self,
        port: int,
        prefixes: Sequence[str],
        images: Sequence[tuple[Offer, bytes]],
        folder: Path,
        parallel: str,
        timeout: float = 30,
        **wish: str,
    ) -> None:
        self._settings = Settings(server="127.0.0.1", port=port, prefix="bench/x", timeout=timeout)
        self._prefixes = prefixes
        self._images = images
        self._folder = folder
        self._options = Options.parse(
            **{"settle": "0s", "wave": "100%", "canary": "0", "parallel": parallel} | wish
        )
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "RollingOut":
        with contextlib.ExitStack() as stack:
            self.connection = Connection(self._settings)
            self.connection.connect()
            stack.callback(self.connection.close)
            self.store = stack.enter_context(Store(str(self._folder / "fleet.db")))
            boards = call_roll(self.connection, self._prefixes)
            offers = [offer for offer, _ in self._images]
            unknown = [prefix for prefix, board in boards.items() if board is None]
            if unknown:
                raise ToolError(f"{len(unknown)} boards are not known, as {unknown[0]}")
            known = [board for board in boards.values() if board]
            plan = make_plan(known, offers, self._options)
            self.number = self.store.create(
                plan, self._images, self._options, broker="bench", who="bench"
            )
            news, self._stop = threading.Event(), threading.Event()
            seen = stack.enter_context(
                BoardField(self.connection, depths_of(boards), news.set, list(boards))
            )
            pusher = Cast(self._settings, self.connection)
            self.driver = Driver(self.store, self.number, seen, pusher, "bench", news=news)
            self._began = time.monotonic()
            self._thread = threading.Thread(target=drive, args=(self.driver, self._stop))
            self._thread.start()
            stack.callback(self._end, news)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _end(self, news: threading.Event) -> None:
        self._stop.set()
        news.set()
        self._thread.join()

    def traffic(self) -> int:
        """Return how many bytes our connection has sent and received, TCP's own not counted."""
        stream = self.connection._client.socket()
        assert stream
        info = stream.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, 512)
        return sum(struct.unpack_from("<QQ", info, _BYTES_ACKED))

    def wait_for(self, done: int, seconds: float) -> None:
        """Wait until so many boards are done; ToolError if that takes longer."""
        deadline = time.monotonic() + seconds
        while (states := self.states())[DONE] < done:
            if time.monotonic() > deadline:
                raise ToolError(f"After {seconds:g} s {done} boards are not done: {dict(states)}")
            time.sleep(0.2)

    def states(self) -> Counter:
        """Return how many boards are in each state."""
        return Counter(board.state for board in self.store.read(self.number)[1])

    def wait(self, seconds: float) -> Rolled:
        """Wait until it is over, or for so long; return how it went."""
        self._thread.join(seconds)
        rollout, rows = self.store.read(self.number)
        took = time.monotonic() - self._began
        return Rolled(Counter(row.state for row in rows), list(rows), rollout.state, took)


def cpu_s(pid: int) -> float:
    """Return the seconds of CPU that a server has used: the process `pid`, and all of its group."""
    used = sum(int(fields[11]) + int(fields[12]) for fields in _group(pid))
    return used / os.sysconf("SC_CLK_TCK")


def rss_bytes(pid: int) -> int:
    """Return the memory that a server has, in bytes: `pid` and its group."""
    return sum(int(fields[21]) for fields in _group(pid)) * os.sysconf("SC_PAGE_SIZE")


def _group(pid: int) -> list[list[str]]:
    """Return the fields of /proc/…/stat, from the state on, of each process of a group."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has just ended
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[2]) == pid or stat.parent.name == str(pid):
                found.append(fields)
    return found
