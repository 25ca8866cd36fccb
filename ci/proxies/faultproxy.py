"""Breaks connections on purpose: a TCP proxy between an MQTT client and its broker.

Bytes go `up` (to the broker) and `down` (to the client) through two threads for each connection.
What goes wrong is a `Faults` for each connection, from a plan, `plan(number) -> Faults`, and what a
test calls while connections are open: `freeze`, `cut`, `refuse`. A plan that takes its numbers from
a seeded `random.Random` breaks the same way each time, as far as the two ends do the same.
"""

import contextlib
import random
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

HOST = "127.0.0.1"
_PIECE = 65536
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends RST


@dataclass(frozen=True)
class Faults:
    """What goes wrong with a connection; nothing by default.

    `cut_up`, `cut_down`: it is cut after exactly so many bytes in that direction. `freeze_up`,
    `freeze_down`: nothing more is forwarded behind so many bytes, but nobody is told. `reset`: a
    cut is a RST, not a FIN. `delay`: seconds that each piece waits. `split`: at most so many bytes
    a write. `merge`: seconds for which data is held back, then forwarded in one write.
    """

    cut_up: int | None = None
    cut_down: int | None = None
    freeze_up: int | None = None
    freeze_down: int | None = None
    reset: bool = False
    delay: float = 0.0
    split: int = _PIECE
    merge: float = 0.0


NONE = Faults()


def cut_at_random(seed: int, most: int) -> Callable[[int], Faults]:
    """Plan to cut each connection within the first `most` bytes of one of its directions."""
    source = random.Random(seed)

    def plan(_: int) -> Faults:
        where = source.randrange(most)
        reset = source.random() < 0.3
        split = source.choice((1, 7, _PIECE, _PIECE))
        if source.random() < 0.5:
            return Faults(cut_up=where, reset=reset, split=split)
        return Faults(cut_down=where, reset=reset, split=split)

    return plan


class FaultProxy:
    """Listens on a free loopback `port` and connects each client to `target`, a broker's port."""

    def __init__(self, target: int, plan: Callable[[int], Faults] = lambda _: NONE) -> None:
        self.target = target
        self.plan = plan
        self.refusing = False  # connections are taken and closed at once
        self.links: list[Link] = []  # all there were
        self.frozen = threading.Event()
        self._listener = socket.create_server((HOST, 0))
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> "FaultProxy":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # Not only closed: accept would wait on.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        self.cut()
        for link in self.links:
            link.join()

    @property
    def cuts(self) -> int:
        """How many connections were cut."""
        return sum(link.was_cut for link in self.links)

    def freeze(self) -> None:
        """Forward nothing from now on, on no connection, and tell nobody."""
        self.frozen.set()

    def thaw(self) -> None:
        """Forward on new connections; those that were frozen stay dead."""
        for link in self.links:
            link.dead = True
        self.frozen.clear()

    def cut(self, reset: bool = False) -> None:
        """Close all connections, both ends."""
        for link in self.links:
            link.cut(reset)

    def refuse(self, refusing: bool = True) -> None:
        """Refuse connections, or take them again; open ones are cut."""
        self.refusing = refusing
        if refusing:
            self.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed: the end
            while True:
                client, _ = self._listener.accept()
                if self.refusing:
                    client.close()
                    continue
                try:
                    broker = socket.create_connection((HOST, self.target), 5)
                except OSError:
                    client.close()
                    continue
                link = Link(self, client, broker, self.plan(len(self.links)))
                self.links.append(link)
                link.start()


class Link:
    """One connection: two sockets, two threads, and how many bytes went `up` and `down`."""

    def __init__(
        self, proxy: FaultProxy, client: socket.socket, broker: socket.socket, faults: Faults
    ) -> None:
        self.faults = faults
        self.up = self.down = 0
        self.dead = False
        self._cut = threading.Event()
        self._proxy = proxy
        self._sockets = (client, broker)
        self._lock = threading.Lock()
        for end in self._sockets:
            end.settimeout(None)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._threads = [
            threading.Thread(target=self._pump, args=arguments, daemon=True)
            for arguments in ((client, broker, "up"), (broker, client, "down"))
        ]

    def start(self) -> None:
        """Begin to forward."""
        for thread in self._threads:
            thread.start()

    @property
    def was_cut(self) -> bool:
        """Whether both ends were closed."""
        return self._cut.is_set()

    def cut(self, reset: bool = False) -> None:
        """Close both ends, at once; a RST if `reset`."""
        with self._lock:
            if self.was_cut:
                return
            self._cut.set()
            for end in self._sockets:
                with contextlib.suppress(OSError):
                    if reset:
                        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                    else:
                        end.shutdown(socket.SHUT_WR)
                    # Wakes the thread that waits in recv; closing alone would not.
                    end.shutdown(socket.SHUT_RD)
                end.close()

    def join(self) -> None:
        """Wait for the end of both threads."""
        for thread in self._threads:
            thread.join()

    def _pump(self, source: socket.socket, sink: socket.socket, way: str) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_PIECE):
                if self.faults.merge:
                    data += self._more(source)
                time.sleep(self.faults.delay)
                if not self._forward(data, sink, way):
                    break
                if self.dead:
                    # Not even read: a writer finds its socket full in the end.
                    self._cut.wait()
        if not self.dead and not self._proxy.frozen.is_set():
            self.cut(self.faults.reset)

    def _more(self, source: socket.socket) -> bytes:
        """Return what else arrives while data is held back."""
        deadline = time.monotonic() + self.faults.merge
        held = b""
        while (left := deadline - time.monotonic()) > 0:
            source.settimeout(left)
            try:
                data = source.recv(_PIECE)
            except TimeoutError:
                break
            finally:
                source.settimeout(None)
            if not data:
                break
            held += data
        return held

    def _forward(self, data: bytes, sink: socket.socket, way: str) -> bool:
        """Send `data` on as the faults allow; False at the cut."""
        cut = self.faults.cut_up if way == "up" else self.faults.cut_down
        freeze = self.faults.freeze_up if way == "up" else self.faults.freeze_down
        for start in range(0, len(data), self.faults.split):
            piece = data[start : start + self.faults.split]
            done = getattr(self, way)
            ends = [len(piece)] + [most - done for most in (cut, freeze) if most is not None]
            piece = piece[: max(min(ends), 0)]
            if self.dead or self._proxy.frozen.is_set():
                self.dead = True
                return True
            sink.sendall(piece)
            setattr(self, way, done + len(piece))
            if freeze is not None and done + len(piece) >= freeze:
                self.dead = True
                return True
            if cut is not None and done + len(piece) >= cut:
                return False
        return True
