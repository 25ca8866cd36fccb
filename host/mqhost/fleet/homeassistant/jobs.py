"""Asks boards, restarts them and updates them, each job in a thread of its own; what came of it is
reported as an event.

A board has one job at a time: it is not asked while it restarts, nor restarted in an update.
"""

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from mqhost.errors import ToolError
from mqhost.fleet.homeassistant.device import Device
from mqhost.fleet.rollout.outcome import CONFIRMED, Outcome, of_error
from mqhost.link.connection import Connection
from mqhost.link.roster import Status
from mqhost.link.session import Session
from mqhost.link.settings import Settings
from mqhost.manage.restart import restart
from mqhost.signing.offer import Offer
from mqhost.update import transfer
from mqhost.update.push import push

# How far an update is when a stage begins and ends, in percent. Most of the time goes into sending.
_STAGES = {
    transfer.SETTLE: (0, 1),
    transfer.DIFFER: (1, 2),
    transfer.COMPARE: (2, 10),
    transfer.SEND: (10, 80),
    transfer.VERIFY: (80, 90),
    transfer.RESTART: (92, 92),
    transfer.CONFIRM: (96, 96),
}


@dataclass(frozen=True)
class Answered:
    """What the board said to `info`, None for nothing."""

    ident: str
    info: Status | None


@dataclass(frozen=True)
class Progressed:
    """An update is so many percent done."""

    ident: str
    percent: int


@dataclass(frozen=True)
class Installed:
    """An update has ended; `text` says how."""

    ident: str
    outcome: Outcome
    text: str


@dataclass(frozen=True)
class Restarted:
    """A restart has ended; `text` says how."""

    ident: str
    text: str


Event = Answered | Progressed | Installed | Restarted


class _Stopped(BaseException):
    """Raised in a push that nobody waits for any more."""


@dataclass
class Jobs:
    """Does what is asked of boards, over `connection`; `report` is called in any thread."""

    settings: Settings
    connection: Connection
    report: Callable[[Event], None]
    _stop: threading.Event = field(default_factory=threading.Event)

    def ask(self, device: Device) -> None:
        """Begin to ask the board for its `info`."""
        self._start(self._ask, device.ident, self._settings_for(device))

    def install(self, device: Device, app: bytes) -> None:
        """Begin to bring the board its image, `app`."""
        assert device.offer
        self._start(self._install, device.ident, self._settings_for(device), device.offer, app)

    def restart(self, device: Device) -> None:
        """Begin to restart the board."""
        self._start(self._restart, device.ident, self._settings_for(device))

    def stop(self) -> None:
        """Have updates end with what they report next."""
        self._stop.set()

    def _start(self, work: Callable[..., Event], *arguments: object) -> None:
        def run() -> None:
            with contextlib.suppress(_Stopped):
                self.report(work(*arguments))

        threading.Thread(target=run, daemon=True).start()

    def _settings_for(self, device: Device) -> Settings:
        settings = self.settings.for_one(device.prefix)
        # Of two boards with one prefix the right one.
        named = device.facts.get("twin") and device.ident.isalnum()
        return replace(settings, id=device.ident) if named else settings

    def _ask(self, ident: str, settings: Settings) -> Event:
        try:
            with Session(settings, connection=self.connection) as session:
                return Answered(ident, session.request_json("info"))
        except Exception:  # a ToolError, or a fault of ours: the board is asked again later
            return Answered(ident, None)

    def _install(self, ident: str, settings: Settings, offer: Offer, app: bytes) -> Event:
        furthest = -1

        def show(stage: str, done: int, total: int) -> None:
            nonlocal furthest
            if self._stop.is_set():
                raise _Stopped
            now = percent(stage, done, total)
            if now > furthest:
                furthest = now
                self.report(Progressed(ident, now))

        try:
            with Session(settings, connection=self.connection) as session:
                done = push(session, offer, app, progress=show)
        except ToolError as error:
            return Installed(ident, of_error(error), str(error))
        except Exception as error:
            text = f"a fault of mqboard itself: {error!r:.200}"
            return Installed(ident, Outcome(reason=text), text)
        text = f"{done.old_version} → {done.new_version}, confirmed after {done.seconds:.0f} s"
        return Installed(ident, CONFIRMED, "it runs already" if done.already else text)

    def _restart(self, ident: str, settings: Settings) -> Event:
        try:
            with Session(settings, connection=self.connection) as session:
                back = restart(session)
        except ToolError as error:
            return Restarted(ident, f"not restarted: {error}")
        except Exception as error:
            return Restarted(ident, f"a fault of mqboard itself: {error!r:.200}")
        return Restarted(ident, f"restarted, back after {back.seconds:.0f} s")


def percent(stage: str, done: int, total: int) -> int:
    """Return how far an update is that reports `done` of `total` of a stage."""
    begin, end = _STAGES[stage]
    return begin + (end - begin) * min(done, total) // total if total else begin
