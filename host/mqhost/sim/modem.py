"""Simulates a modem at a UART: AT commands, a SIM card, a mobile network, and PPP.

Answers are those of 3GPP TS 27.007 and ITU-T V.250, as far as a board asks. Of PPP there is only
whether it comes up: frames are not looked at. The modem has power of its own: a board that resets
finds it as it was left, perhaps in the middle of a connection.
"""

import contextlib
import os
import re
import select
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from mqhost.sim.wire import open_terminal

# LCP and IPCP; a real mobile network takes some seconds.
PPP_SECONDS = 0.04
_LOOK_SECONDS = 0.02
_TRIES = 3  # PINs, until the card wants its PUK


@dataclass(frozen=True)
class World:
    """What the modem has: a `silent` one answers nothing; `sim` is "ready", "none" or the card's
    PIN; `registered`: a mobile network takes the card; `data`: and connections; `rssi` in dBm."""

    silent: bool = False
    sim: str = "ready"
    registered: bool = True
    data: bool = True
    rssi: int = -71


class Modem:
    """The modem; `commands` are the lines that it was sent, without those that it did not hear."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self.world = World()
        self.commands: list[str] = []
        self.tries = _TRIES
        self._unlocked = False
        self._echo = True
        self._online = False  # it has dialled: what comes is no command
        self._ppp_at: float | None = None
        self._line = b""
        self._out = b""

    def change(self, **changes: bool | str | int) -> None:
        """Change the `World`; a connection that it cannot carry any more breaks."""
        with self._lock:
            self.world = replace(self.world, **changes)  # type: ignore[arg-type]
            if "sim" in changes:
                self._unlocked = False
                self.tries = _TRIES
            if self._online and not (self.world.registered and self.world.data):
                self.drop()

    def drop(self) -> None:
        """Lose the connection, as a mobile network does now and then."""
        with self._lock:
            self._online = False
            self._ppp_at = None
            self._out += b"\r\nNO CARRIER\r\n"

    @contextlib.contextmanager
    def at_terminal(self) -> Iterator[str]:
        """Answer at a terminal while the block runs; gives its path, for `Device.connect_uart`."""
        ours, theirs = open_terminal()
        over = threading.Event()

        def answer() -> None:
            while not over.is_set():
                if select.select([ours], [], [], _LOOK_SECONDS)[0]:
                    self.write(os.read(ours, 4096))
                with contextlib.suppress(BlockingIOError):
                    os.write(ours, self.read())

        thread = threading.Thread(target=answer, name="sim-modem", daemon=True)
        thread.start()
        try:
            yield os.ttyname(theirs)
        finally:
            over.set()
            thread.join()
            os.close(ours)
            os.close(theirs)

    # What the board does.

    def write(self, data: bytes) -> None:
        """Take what the board writes to its UART."""
        with self._lock:
            self._take(data)

    def _take(self, data: bytes) -> None:
        if self.world.silent:
            return
        if self._online:
            if data == b"+++":
                self._online = False
                self._say("OK")
            return
        if self._echo:
            self._out += data
        self._line += data
        while b"\r" in self._line:
            line, self._line = self._line.split(b"\r", 1)
            self._obey(line.decode("ascii", "replace").strip())

    def read(self) -> bytes:
        """Return what the modem has written since."""
        with self._lock:
            data, self._out = self._out, b""
            return b"" if self.world.silent else data

    def start_ppp(self) -> None:
        """Have the board's end of PPP begin."""
        self._ppp_at = time.monotonic() + PPP_SECONDS

    def hang_up(self) -> None:
        """Have the board's end of PPP stop; the modem does not hear of it."""
        self._ppp_at = None

    @property
    def connected(self) -> bool:
        """Whether PPP is up: there is an address."""
        over = self._ppp_at is not None and time.monotonic() >= self._ppp_at
        return over and self._online and not self.world.silent

    def _obey(self, line: str) -> None:
        if not line:
            return
        self.commands.append(line)
        command = line.upper()
        if command in ("AT", "ATH", "ATZ") or re.fullmatch(r"AT(E|V|\+CMEE=)\d", command):
            self._echo = {"ATE0": False, "ATE1": True}.get(command, self._echo)
            self._say("OK")
        elif command == "AT+CPIN?":
            self._tell_card()
        elif command.startswith("AT+CPIN="):
            self._unlock(line[8:].strip('"'))
        elif command in ("AT+CREG?", "AT+CEREG?"):
            self._say(f"{command[2:-1]}: 0,{1 if self._served() else 2}", "OK")
        elif command == "AT+CSQ":
            self._say(f"+CSQ: {(self.world.rssi + 113) // 2},99", "OK")
        elif command.startswith("AT+CGDCONT="):
            self._say("OK")
        elif command.startswith("ATD"):
            if self._served() and self.world.data:
                self._online = True
                self._say("CONNECT 115200")
            else:
                self._say("NO CARRIER")
        else:
            self._say("ERROR")

    def _served(self) -> bool:
        return self.world.registered and self._card() == "READY"

    def _card(self) -> str:
        if self.world.sim == "none":
            return ""
        if self.world.sim == "ready" or self._unlocked:
            return "READY"
        return "SIM PIN" if self.tries else "SIM PUK"

    def _tell_card(self) -> None:
        card = self._card()
        if card:
            self._say(f"+CPIN: {card}", "OK")
        else:
            self._say("+CME ERROR: 10")  # SIM not inserted

    def _unlock(self, pin: str) -> None:
        if self._card() == "SIM PIN" and pin == self.world.sim:
            self._unlocked = True
            self.tries = _TRIES
            self._say("OK")
        else:
            self.tries = max(self.tries - 1, 0)
            self._say("+CME ERROR: 16")  # incorrect password

    def _say(self, *lines: str) -> None:
        for line in lines:
            self._out += b"\r\n" + line.encode() + b"\r\n"
