"""Lives a board's life on a thread of its own: power, bootloader, CPU, and again.

`Life.run` goes round: the bootloader picks a slot, the executable in it runs as the CPU, which the
chip serves until it ends; how it ended is the reset cause of the next boot. What others ask for
(`stopping`, `powered`, `pressed`) is looked at whenever they `wake` it.
"""

import contextlib
import os
import select
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from mqhost.flash.espimage import executable_of
from mqhost.sim.bootloader import Choice, NothingBootable
from mqhost.sim.chip import Chip, CpuEnds, End, EndKind, ResetCause
from mqhost.sim.console import Console
from mqhost.sim.cpu import Cpu, Executable
from mqhost.sim.esperror import EspError
from mqhost.sim.flash import PowerLost

# After a run that was shorter than this the pause before the next boot doubles.
_LOOP_SECONDS = 1.0
_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 2.0

_CAUSES = {
    EndKind.RESET: ResetCause.HARD,
    EndKind.CRASH: ResetCause.HARD,  # the port reports a panic as it reports machine.reset()
    EndKind.SLEEP: ResetCause.DEEPSLEEP,
    EndKind.WATCHDOG: ResetCause.WDT,
    EndKind.SOFT_RESET: ResetCause.SOFT,
    EndKind.BUTTON: ResetCause.PWRON,  # an ESP32's EN pin takes the power from all of the chip
    EndKind.PIN: ResetCause.DEEPSLEEP,
}


class State(Enum):
    """What a board is doing."""

    OFF = "off"
    BOOTING = "booting"
    RUNNING = "running"
    ASLEEP = "in deep sleep"
    DEAD = "without a bootable image"
    STOPPED = "stopped"


@dataclass(frozen=True)
class Boot:
    """One start of the CPU: the slot's label, the cause of the reset before, time.monotonic()."""

    slot: str
    reset_cause: ResetCause
    time: float


class Life:
    """The life of the board around `chip`. `clock` gives where its clock begins at power-on.

    Every attribute is guarded by `changed`, which is notified of every change.
    """

    def __init__(self, chip: Chip, heap: str, changed: threading.Condition, console: Console):
        self.changed = changed
        self.state = State.OFF
        self.boots: list[Boot] = []
        self.ends: list[End] = []
        self.error: BaseException | None = None
        self.cpu: Cpu | None = None
        self.clock = 0.0
        self._powered = True
        self._pressed = False
        self._roused = False
        self._stopping = False
        self.chip = chip
        self._heap = heap
        self._console = console
        self._executable: Executable | None = None
        self._pause = _FIRST_PAUSE
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def ask(
        self,
        *,
        power: bool | None = None,
        press: bool = False,
        pin: int | None = None,
        stop: bool = False,
    ) -> None:
        """Ask the thread for something; it will be done soon after. A level at `pin` does nothing
        unless the chip is in a deep sleep that it ends.
        """
        with self.changed:
            if pin is not None and self.state is State.ASLEEP:
                self._roused |= self.chip.wake_by(pin)
            if power is not None:
                self._powered = power
            self._pressed |= press
            self._stopping |= stop
            if self._wake >= 0:
                os.eventfd_write(self._wake, 1)

    def run(self) -> None:
        """Live until asked to stop. An unexpected error is kept in `error`."""
        try:
            while not self._stopping:
                if self._powered:
                    self._live_powered()
                else:
                    self._become(State.OFF)
                    self._wait(None, lambda: self._stopping or self._powered)
        except BaseException as error:
            self.error = error
        finally:
            self._load(None)
            self._become(State.STOPPED)

    def close(self) -> None:
        """Free the chip's resources when `run` has returned."""
        with self.changed:
            os.close(self._wake)
            self._wake = -1

    def _live_powered(self) -> None:
        """Live from power-on to the loss of power (or the stop)."""
        self._pressed = False
        self._pause = _FIRST_PAUSE
        cause = ResetCause.PWRON
        choice: Choice | None = None
        while True:
            started = time.monotonic()
            if cause is ResetCause.PWRON:
                self.chip.power_on(self.clock)
            try:
                if choice is None or cause is not ResetCause.SOFT:
                    choice = self._boot()
                end = self._execute(choice, cause)
            except NothingBootable as error:
                self._say(f"boot: nothing bootable: {error}")
                self._become(State.DEAD)
                end = self._wait(None) or End(EndKind.STOP)
            except PowerLost as error:
                self._powered = False
                end = End(EndKind.POWER, str(error))
            with self.changed:
                self.ends.append(end)
            end = self._rest(end, time.monotonic() - started)
            if end.kind in (EndKind.POWER, EndKind.STOP):
                return
            cause = _CAUSES[end.kind]

    def _rest(self, end: End, lived: float) -> End:
        """Pass the time between two runs; return what the next one begins with."""
        if end.kind is EndKind.SLEEP:
            self._become(State.ASLEEP)
            return self._wait(end.sleep) or end
        if end.kind in (EndKind.CRASH, EndKind.WATCHDOG):
            self._say(f"reset: {end.kind.value} {end.detail}".rstrip())
        self._become(State.BOOTING)
        looping = lived < _LOOP_SECONDS
        self._pause = min(2 * self._pause, _LONGEST_PAUSE) if looping else _FIRST_PAUSE
        return self._wait(self._pause) or end

    def _boot(self) -> Choice:
        """Do what the bootloader does, and load the program it picks."""
        self._become(State.BOOTING)
        choice = self.chip.bootloader.boot()
        for reason in choice.passed_over:
            self._say(f"boot: {reason}")
        slot = choice.slot
        self._load(executable_of(self.chip.flash.read(slot.offset, choice.image.size)))
        return choice

    def _execute(self, choice: Choice, cause: ResetCause) -> End:
        """Run the CPU until it ends."""
        assert self._executable
        self._say(f"boot: {choice.slot.label} {choice.image.version} ({cause.name})")
        self.chip.start_cpu(choice.slot, cause)
        flash = self.chip.flash
        uarts = self.chip.uarts
        with contextlib.ExitStack() as cleanup:
            radio = self.chip.enter_air()
            if radio and self.chip.air:
                cleanup.callback(self.chip.air.leave, radio)
            air = radio.theirs.fileno() if radio else None
            cpu = Cpu(self._executable, flash.path, self._heap, flash.read_seconds, uarts, air)
            cleanup.callback(cpu.close)
            with self.changed:
                self.cpu = cpu
                self.boots.append(Boot(choice.slot.label, cause, time.monotonic()))
                self._become(State.RUNNING)
            try:
                return self._attend(cpu)
            finally:
                with self.changed:
                    self.cpu = None
                self._console.feed(cpu.kill())

    def _attend(self, cpu: Cpu) -> End:
        """Serve the CPU's requests and console; return how it ended."""
        poll = select.poll()
        for source in (cpu.bus.fileno(), cpu.console, cpu.ended, self._wake):
            poll.register(source, select.POLLIN)
        while True:
            left = self.chip.watchdog_left()
            ready = dict(poll.poll(None if left is None else max(0, int(left * 1000) + 1)))
            if end := self._asked():
                return end
            if cpu.console in ready:
                self._console.feed(cpu.read_console())
            try:
                self._serve(cpu)
            except CpuEnds as ends:
                return ends.end
            if cpu.ended in ready:
                self._console.feed(cpu.kill())
                return End(EndKind.CRASH, cpu.how_it_ended())
            # Only now: a feed that came in time but is seen late, on a busy machine, has counted.
            left = self.chip.watchdog_left()
            if left is not None and left <= 0:
                return End(EndKind.WATCHDOG, "not fed in time")

    def _serve(self, cpu: Cpu) -> None:
        """Answer what the CPU has asked. Raises CpuEnds, PowerLost."""
        while received := cpu.receive():
            request, data = received
            with self.changed:
                try:
                    result = self.chip.handle(request, data)
                except EspError as error:
                    cpu.answer(request, -error.code, error.name.encode())
                    continue
            if isinstance(result, bytes):
                cpu.answer(request, len(result), result)
            else:
                cpu.answer(request, result)

    def _asked(self) -> End | None:
        """Return what others have asked for, as the end of whatever goes on."""
        with self.changed:
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self._wake)
            if self._stopping:
                return End(EndKind.STOP)
            if not self._powered:
                return End(EndKind.POWER, "switched off")
            if self._pressed:
                self._pressed = False
                return End(EndKind.BUTTON)
            if self._roused:
                self._roused = False
                return End(EndKind.PIN)
            return None

    def _wait(self, seconds: float | None, until: Callable[[], bool] | None = None) -> End | None:
        """Pass time; return at once when something is asked for (or `until` says so)."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while True:
            end = self._asked()
            if until() if until else end:
                return end
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return None
            select.select([self._wake], [], [], left)

    def _load(self, program: bytes | None) -> None:
        if self._executable:
            self._executable.close()
        self._executable = None if program is None else Executable(program)

    def _become(self, state: State) -> None:
        with self.changed:
            self.state = state
            self.changed.notify_all()

    def _say(self, text: str) -> None:
        """Print a line on the board's console, as its bootloader would."""
        self._console.feed(text.encode() + b"\r\n")
