"""Runs the CPU: a MicroPython process with the chip's bus, flash and mailbox, and a terminal.

The executable never is a file: it stands in memory and runs from there. The process leads its own
session on its own terminal, so that a Ctrl-C typed there reaches it, and so that it ends with us:
when this process goes, however it goes, the terminal hangs up.
"""

import contextlib
import ctypes
import errno
import fcntl
import mmap
import os
import signal
import socket
import struct
import termios
import time
from collections.abc import Mapping
from pathlib import Path

from mqhost.errors import ToolError
from mqhost.sim.bus import (
    AIR_FD,
    BUS_FD,
    FLASH_FD,
    MAILBOX_FD,
    MAILBOX_SIZE,
    READ_TIME,
    REQUEST_SIZE,
    UART_FDS,
    Reply,
    Request,
)

# What the ROM does: leave the host's files alone, and hand over to the frozen _rom.
_START = "import sys;sys.path.pop(0);import _rom;_rom.start(globals())"
_ENVIRONMENT = {"MICROPYPATH": ".frozen", "TZ": "UTC0"}
# Clear of the numbers that the process gets its own files as.
_LOWEST_FD = 10
_SPAWN_TRIES = 20
_PIDFD_GETFD = 438  # the same system call number on all architectures since Linux 5.6
_CONSOLE_SIZE = struct.pack("HHHH", 24, 80, 0, 0)


class Executable:
    """A program held in memory. `path` runs it; `close()` frees it."""

    def __init__(self, program: bytes):
        writable = os.memfd_create("micropython", os.MFD_CLOEXEC)
        try:
            with open(writable, "wb", closefd=False) as file:
                file.write(program)
            # A file that is open for writing does not run.
            self._fd = _high(os.open(f"/proc/self/fd/{writable}", os.O_RDONLY))
        finally:
            os.close(writable)
        self.path = f"/proc/self/fd/{self._fd}"

    def close(self) -> None:
        """Free the memory (a process that runs it keeps it)."""
        os.close(self._fd)


class Cpu:
    """A running process. `console` and `bus` are to be polled; `ended` when it is no more."""

    def __init__(
        self,
        executable: Executable,
        flash: Path,
        heap: str,
        read_seconds: float,
        uarts: Mapping[int, str] | None = None,
        air: int | None = None,
    ):
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            bus, self.bus = socket.socketpair()
            ours.callback(self.bus.close)
            theirs.callback(bus.close)
            mailbox = os.memfd_create("mailbox", os.MFD_CLOEXEC)
            theirs.callback(os.close, mailbox)
            size = MAILBOX_SIZE + READ_TIME.size
            os.ftruncate(mailbox, size)
            self.mailbox = mmap.mmap(mailbox, size)
            ours.callback(self.mailbox.close)
            self.set_read_seconds(read_seconds)
            self.console, terminal = _open_terminal()
            ours.callback(os.close, self.console)
            theirs.callback(os.close, terminal)
            readable = os.open(flash, os.O_RDONLY)
            theirs.callback(os.close, readable)
            files = {BUS_FD: bus.fileno(), FLASH_FD: readable, MAILBOX_FD: mailbox}
            for uart, path in (uarts or {}).items():
                files[UART_FDS[uart]] = os.open(path, os.O_RDWR | os.O_NOCTTY)
                theirs.callback(os.close, files[UART_FDS[uart]])
            self._air = None
            if air is not None:
                self._air = AIR_FD
                files[AIR_FD] = air
            for number, file in files.items():
                files[number] = fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, _LOWEST_FD)
                theirs.callback(os.close, files[number])
            self.pid = _spawn(executable.path, heap, os.ttyname(terminal), files)
            ours.callback(self._kill)
            self.ended = os.pidfd_open(self.pid)
            ours.callback(os.close, self.ended)
            self._cleanup = ours.pop_all()
        os.set_blocking(self.console, False)

    def set_read_seconds(self, seconds: float) -> None:
        """Set how long it takes from now on to read 4 KiB of flash."""
        READ_TIME.pack_into(self.mailbox, MAILBOX_SIZE, int(seconds * 1_000_000))

    def receive(self) -> tuple[Request, bytes] | None:
        """Return the next request with its data; None when there is none (any more)."""
        try:
            record = self.bus.recv(REQUEST_SIZE, socket.MSG_DONTWAIT)
        except (BlockingIOError, ConnectionError):  # nothing yet, or dead with a reply unread
            return None
        if len(record) < REQUEST_SIZE:
            return None
        request = Request.from_bytes(record)
        return request, self.mailbox[: request.size]

    def answer(self, request: Request, result: int, data: bytes = b"") -> None:
        """Send the reply to `request`."""
        self.mailbox[: len(data)] = data
        with contextlib.suppress(ConnectionError):
            self.bus.send(Reply(result, request.number, len(data)).to_bytes())

    def read_console(self) -> bytes:
        """Return what the process printed since; b"" when there is nothing (any more)."""
        try:
            return os.read(self.console, 65536)
        except BlockingIOError:
            return b""
        except OSError as error:
            if error.errno != errno.EIO:  # all of its other ends are closed
                raise
            return b""

    def type(self, data: bytes) -> None:
        """Type at the console."""
        with contextlib.suppress(OSError):
            os.write(self.console, data)

    def drop_connections(self) -> None:
        """Break the process's network connections, as the loss of the network would.

        Raises ToolError where this system does not let us have another process's sockets.
        """
        libc = ctypes.CDLL(None, use_errno=True)
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for entry in os.listdir(f"/proc/{self.pid}/fd"):
                if int(entry) <= MAILBOX_FD or int(entry) == self._air:
                    continue
                copy = libc.syscall(_PIDFD_GETFD, self.ended, int(entry), 0)
                if copy >= 0:
                    _shut_down(copy)
                elif ctypes.get_errno() in (errno.EPERM, errno.ENOSYS):
                    raise ToolError(
                        "Cannot break the board's connections: this system does not permit "
                        "pidfd_getfd. In a container, add the capability SYS_PTRACE."
                    )

    def kill(self) -> bytes:
        """End the process at once; return what it had still printed."""
        self._kill()
        output = b""
        while chunk := self.read_console():
            output += chunk
        return output

    def how_it_ended(self) -> str:
        """Say how a process ended by itself: "exited with 1", "died of SIGSEGV"."""
        if self._status is None:
            return "is running"
        if os.WIFSIGNALED(self._status):
            return f"died of {signal.Signals(os.WTERMSIG(self._status)).name}"
        return f"exited with {os.WEXITSTATUS(self._status)}"

    def close(self) -> None:
        """Kill the process if it runs, and close everything."""
        self._cleanup.close()

    _status: int | None = None

    def _kill(self) -> None:
        if self._status is None:
            for target in (-self.pid, self.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(target, signal.SIGKILL)
            _, self._status = os.waitpid(self.pid, 0)


def _spawn(path: str, heap: str, terminal: str, files: Mapping[int, int]) -> int:
    """Start the executable with its terminal and files; return its process id."""
    arguments = ["micropython", "-X", f"heapsize={heap}", "-i", "-c", _START]
    actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = [
        # The first terminal that a session's leader opens becomes its console.
        (os.POSIX_SPAWN_OPEN, 0, terminal, os.O_RDWR, 0),
        (os.POSIX_SPAWN_DUP2, 0, 1),
        (os.POSIX_SPAWN_DUP2, 0, 2),
    ]
    for number, ours in files.items():
        actions.append((os.POSIX_SPAWN_DUP2, ours, number))
    for attempt in range(_SPAWN_TRIES):
        try:
            return os.posix_spawn(
                path,
                arguments,
                _ENVIRONMENT,
                file_actions=actions,
                setsid=True,
                setsigmask=(),
                setsigdef=(signal.SIGINT, signal.SIGHUP, signal.SIGPIPE, signal.SIGTERM),
            )
        except OSError as error:
            # Another thread's child may still hold our writable copy for a moment.
            if error.errno != errno.ETXTBSY or attempt == _SPAWN_TRIES - 1:
                raise ToolError(f"The board's firmware does not run here: {error}.") from error
            time.sleep(0.01)
    raise AssertionError("unreachable")


def _open_terminal() -> tuple[int, int]:
    """Open a terminal like a serial line: (our end, its end). Only the prompt echoes."""
    ours, theirs = os.openpty()
    attributes = termios.tcgetattr(theirs)
    attributes[3] &= ~termios.ECHO
    termios.tcsetattr(theirs, termios.TCSANOW, attributes)
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, _CONSOLE_SIZE)
    return ours, theirs


def _high(fd: int) -> int:
    """Return the same open file under a number from _LOWEST_FD on."""
    copy = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _LOWEST_FD)
    os.close(fd)
    return copy


def _shut_down(fd: int) -> None:
    """Shut an internet socket down in both directions, for all who have it; close our copy."""
    try:
        copy = socket.socket(fileno=fd)
    except OSError:
        os.close(fd)
        return
    with copy:
        if copy.family in (socket.AF_INET, socket.AF_INET6):
            with contextlib.suppress(OSError):
                copy.shutdown(socket.SHUT_RDWR)
