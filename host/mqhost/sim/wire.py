"""Simulates the wires between two UARTs: two terminals, and what gets lost between them.

    with Wire(loss=0.001) as wire:
        device.connect_uart(1, wire.ends[0])
        target = subprocess.Popen([micropython, "target.py", wire.ends[1]])

A program opens its end as a file; reading never blocks, as with a UART. Bytes that nobody takes in
time are lost, as in a UART whose buffer is full.
"""

import contextlib
import os
import random
import select
import termios
import threading
import time
import tty
from collections import deque

_CHUNK = 4096


class Wire:
    """Carries bytes both ways while the `with` block runs; a thread does it.

    A byte is lost or turned with the chance `loss` or `turn`; all take `delay` seconds. These and
    `cut` (nothing passes) may be changed at any time. `passed`, `lost` and `turned` count bytes.
    """

    def __init__(
        self, *, loss: float = 0.0, turn: float = 0.0, delay: float = 0.0, seed: int = 0
    ) -> None:
        self.loss = loss
        self.turn = turn
        self.delay = delay
        self.cut = False
        self.passed = self.lost = self.turned = 0
        self._random = random.Random(seed)
        pairs = [open_terminal() for _ in range(2)]
        self._ours = [ours for ours, _ in pairs]
        self._theirs = [theirs for _, theirs in pairs]  # so it stays when no program has it
        self.ends = (os.ttyname(self._theirs[0]), os.ttyname(self._theirs[1]))
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._thread = threading.Thread(target=self._run, name="sim-wire", daemon=True)

    def __enter__(self) -> "Wire":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        os.eventfd_write(self._wake, 1)
        self._thread.join()
        for file in (*self._ours, *self._theirs, self._wake):
            os.close(file)

    def _run(self) -> None:
        flying: deque[tuple[float, int, bytes]] = deque()  # when, at which end, what
        while True:
            wait = max(0.0, flying[0][0] - time.monotonic()) if flying else None
            ready, _, _ = select.select([*self._ours, self._wake], [], [], wait)
            if self._wake in ready:
                return
            for index in (0, 1):
                if self._ours[index] in ready:
                    data = self._spoil(os.read(self._ours[index], _CHUNK))
                    flying.append((time.monotonic() + self.delay, 1 - index, data))
            while flying and flying[0][0] <= time.monotonic():
                _, index, data = flying.popleft()
                with contextlib.suppress(BlockingIOError):
                    self.passed += os.write(self._ours[index], data)

    def _spoil(self, data: bytes) -> bytes:
        """Return what is left of `data` on this wire."""
        if self.cut:
            self.lost += len(data)
            return b""
        if not self.loss and not self.turn:
            return data
        result = bytearray()
        for byte in data:
            if self._random.random() < self.loss:
                self.lost += 1
                continue
            if self._random.random() < self.turn:
                self.turned += 1
                byte ^= 1 << self._random.randrange(8)
            result.append(byte)
        return bytes(result)


def open_terminal() -> tuple[int, int]:
    """Open a terminal that changes no byte and never blocks: (our end, its end)."""
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    attributes = termios.tcgetattr(theirs)
    attributes[6][termios.VMIN] = attributes[6][termios.VTIME] = 0
    termios.tcsetattr(theirs, termios.TCSANOW, attributes)
    os.set_blocking(ours, False)
    return ours, theirs
