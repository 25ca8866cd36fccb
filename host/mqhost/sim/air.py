"""Simulates the air that ESP-NOW goes through: frames between the radios of boards, on channels.

    with Air(loss=0.1, double=0.05, reorder=0.1) as air:
        one.join_air(air)
        other.join_air(air)

A frame arrives at whoever is on the sender's channel at that moment; the sender's radio is told
whether it arrived, as by the acknowledgement of a real one, which may get lost as well. A board's
end is a socket that its process inherits; boards/sim/modules/espnow.py is at the other.
"""

import contextlib
import heapq
import itertools
import os
import random
import select
import socket
import struct
import threading
import time
from collections.abc import Callable

# Kind, address, key of the radio (or zeros), signal or result, size of the frame, frame.
RECORD = struct.Struct("<B6s16sbB250s")
ON, OFF, SEND, POKE = 1, 2, 3, 4  # what a radio says; POKE: be readable, there is more
FRAME, RESULT = 5, 6  # what it is told
_EVERYBODY = b"\xff" * 6
_SIGNAL = -50  # dBm
_LATE_SECONDS = (0.002, 0.03)  # of a frame that others overtake


class Station:
    """One radio: `theirs` is the socket for the board's process, `channel()` where it is tuned, 0
    while it is off."""

    def __init__(self, mac: bytes, channel: Callable[[], int]):
        self.mac = mac
        self.channel = channel
        self.on = False
        self.ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.ours.setblocking(False)
        self.theirs.setblocking(False)

    def tell(self, record: bytes) -> bool:
        """Give it a record; False when it takes no more, or is gone."""
        try:
            self.ours.send(record)
        except OSError:
            return False
        return True


class Air:
    """Carries frames while the `with` block runs; a thread does it.

    A frame is lost, comes twice, or later than others, with the chance `loss`, `double`, `reorder`;
    these may be changed at any time. `passed` and `lost` count frames.
    """

    def __init__(
        self, *, loss: float = 0.0, double: float = 0.0, reorder: float = 0.0, seed: int = 0
    ) -> None:
        self.loss = loss
        self.double = double
        self.reorder = reorder
        self.passed = self.lost = 0
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._stations: dict[int, Station] = {}  # by the number of our end
        self._late: list[tuple[float, int, Station, bytes]] = []  # when, in which order, to whom
        self._order = itertools.count()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._over = False
        self._thread = threading.Thread(target=self._run, name="sim-air", daemon=True)

    def __enter__(self) -> "Air":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        os.eventfd_write(self._wake, 1)
        self._thread.join()
        for station in list(self._stations.values()):
            self.leave(station)
        os.close(self._wake)

    def enter(self, mac: bytes, channel: Callable[[], int]) -> Station:
        """Add a radio with the address `mac`; it is off until its board switches it on."""
        station = Station(mac, channel)
        with self._lock:
            self._stations[station.ours.fileno()] = station
            if not self._over:
                os.eventfd_write(self._wake, 1)
        return station

    def leave(self, station: Station) -> None:
        """Take a radio away, as when its board sleeps."""
        with self._lock:
            self._stations.pop(station.ours.fileno(), None)
            station.ours.close()
            station.theirs.close()
            if not self._over:
                os.eventfd_write(self._wake, 1)

    def _run(self) -> None:
        while True:
            with self._lock:
                files = list(self._stations)
            wait = max(0.0, self._late[0][0] - time.monotonic()) if self._late else None
            try:
                ready, _, _ = select.select([*files, self._wake], [], [], wait)
            except OSError:  # one has left since
                continue
            if self._over:
                return
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self._wake)
            with self._lock:
                for file in ready:
                    if file in self._stations:
                        self._serve(self._stations[file])
                while self._late and self._late[0][0] <= time.monotonic():
                    _, _, station, record = heapq.heappop(self._late)
                    station.tell(record)

    def _serve(self, station: Station) -> None:
        try:
            data = station.ours.recv(RECORD.size)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if len(data) < RECORD.size:  # its process is gone
            station.on = False
            del self._stations[station.ours.fileno()]
            return
        kind, mac, key, _, size, frame = RECORD.unpack(data)
        if kind in (ON, OFF):
            station.on = kind == ON
        elif kind == SEND:
            heard = self._carry(station, mac, key, size, frame)
            station.tell(RECORD.pack(RESULT, mac, bytes(16), heard, 0, b""))
        elif kind == POKE:
            station.tell(data)

    def _carry(self, sender: Station, mac: bytes, key: bytes, size: int, frame: bytes) -> bool:
        """Bring a frame to whom it is for; return whether the sender's radio hears that it came."""
        channel = sender.channel()
        if not sender.on or not channel:
            return False
        record = RECORD.pack(FRAME, sender.mac, key, _SIGNAL, size, frame)
        acknowledged = False
        for station in self._stations.values():
            if station is sender or not station.on or station.channel() != channel:
                continue
            if mac not in (_EVERYBODY, station.mac):
                continue
            if self._happens(self.loss):
                self.lost += 1
                continue
            self.passed += 1
            acknowledged = not self._happens(self.loss)
            for _ in range(2 if self._happens(self.double) else 1):
                if self._happens(self.reorder):
                    due = time.monotonic() + self._random.uniform(*_LATE_SECONDS)
                    heapq.heappush(self._late, (due, next(self._order), station, record))
                else:
                    station.tell(record)
        return acknowledged or mac == _EVERYBODY

    def _happens(self, chance: float) -> bool:
        return self._random.random() < chance
