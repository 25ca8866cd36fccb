"""Runs a private MQTT broker: mosquitto on a loopback port, for the demo, the tests and the desk.

`Broker` writes a configuration into a temporary folder, starts mosquitto with it, and returns when
a real MQTT connection was accepted. Its log goes line by line to a callback, and its last lines
into the error when it dies.
"""

import contextlib
import os
import random
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from mqhost.errors import BrokerError

HOST = "127.0.0.1"
START_TIMEOUT = 10.0
_LOOK = 1.0  # seconds
_STOP_TIMEOUT = 3.0
_TAIL_LINES = 8
# Ports are picked free and then used: somebody else may be faster.
_ATTEMPTS = 3
_PORTS = (20_000, 32_768)
_TRIES = 500
_random = random.SystemRandom()

# MQTT 3.1.1: CONNECT with an empty client id and a clean session, and the CONNACK that accepts it.
_CONNECT = b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x0a\x00\x00"
_CONNACK = b"\x20\x02\x00\x00"
_DISCONNECT = b"\xe0\x00"


def free_port() -> int:
    """Return a TCP port on the loopback interface that nobody listens on right now.

    It lies below those that the system gives to connections (Linux: 32768 to 60999): one of these
    could be a connection's own before anybody listens on it.
    """
    for _ in range(_TRIES):
        # Not the module's generator: tests that set its seed would all get the same ports.
        port = _random.randrange(*_PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port))
            return port
    raise BrokerError(f"There is no free port from {_PORTS[0]} to {_PORTS[1] - 1}.")


def find_mosquitto() -> str:
    """Return the path of mosquitto; BrokerError naming the Debian package if there is none."""
    search = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    found = shutil.which("mosquitto", path=search)
    if not found:
        raise BrokerError(
            "The MQTT broker mosquitto is not installed. On Debian: apt-get install mosquitto"
        )
    return found


def configuration(port: int, *, persistence: Path | None = None, extra: Sequence[str] = ()) -> str:
    """Return the text of a mosquitto.conf: one open loopback listener, all logged to stderr."""
    lines = [
        f"listener {port} {HOST}",
        "allow_anonymous true",
        "set_tcp_nodelay true",
        "log_dest stderr",
        "log_type error",
        "log_type warning",
        "log_type notice",
        "log_type information",
        f"persistence {'true' if persistence else 'false'}",
    ]
    if persistence:
        lines.append(f"persistence_location {persistence}/")
    if os.geteuid() == 0:
        # As root mosquitto would change to a user who may not read our temporary folder.
        lines.append("user root")
    return "\n".join([*lines, *extra]) + "\n"


class Broker:
    """A mosquitto of our own, running while the `with` block does.

    `port`: a given port, or None for a free one. `log`: called with each line of its log (from a
    thread). `persistence`: a folder that keeps retained messages over a restart. `extra`: more
    lines for mosquitto.conf. `tls`: these lines make the listener a TLS one (certfile, keyfile).
    It also ends when the thread that started it does, however that comes about (kill -9).
    """

    def __init__(
        self,
        port: int | None = None,
        *,
        log: Callable[[str], None] | None = None,
        persistence: Path | None = None,
        extra: Sequence[str] = (),
        tls: bool = False,
    ) -> None:
        self.host = HOST
        self.port = port or 0
        self._chosen = port is not None
        self._log = log
        self._persistence = persistence
        self._extra = extra
        self._tls = tls
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    def __enter__(self) -> "Broker":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it and wait until it accepts MQTT connections; BrokerError if it does not."""
        program = find_mosquitto()
        if self._chosen or self.port:
            self._check_port()
            self._launch(program)
            return
        for attempt in range(_ATTEMPTS):
            self.port = free_port()
            try:
                self._launch(program)
                return
            except BrokerError:
                self.port = 0
                if attempt == _ATTEMPTS - 1:
                    raise

    def stop(self, hard: bool = False) -> None:
        """End it, hard if it does not end by itself or is not to; no error if it is not running."""
        process, self._process = self._process, None
        if process is None:
            return
        if hard:
            process.kill()
        else:
            process.terminate()
        try:
            process.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if self._reader:
            self._reader.join(_STOP_TIMEOUT)

    def restart(self) -> None:
        """Stop it and start it again on the same port."""
        self.stop()
        self.start()

    def wait(self) -> int:
        """Wait until the process ends and return its exit status."""
        while self._process:
            # Not for ever at once: a Ctrl-C just before that begins would be seen only after it.
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self._process.wait(_LOOK)
        return 0

    def tail(self) -> str:
        """Return the last lines of its log."""
        return "\n".join(self._tail)

    def _check_port(self) -> None:
        """Raise BrokerError if the port that was asked for cannot be had."""
        with socket.socket() as probe:
            # As mosquitto does: a port that only waits for old connections to fade is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, self.port))
            except (OSError, OverflowError) as error:
                reason = getattr(error, "strerror", None) or str(error)
                raise BrokerError(
                    f"Port {self.port} on {HOST} cannot be used: {reason}. Stop what listens "
                    f"there (ss -ltnp 'sport = :{self.port}' names it) or choose another port."
                ) from error

    def _launch(self, program: str) -> None:
        """Run mosquitto on self.port until it accepts a connection; leave nothing on failure."""
        self._tail.clear()
        with tempfile.TemporaryDirectory(prefix="mqboard-broker-") as folder:
            path = Path(folder) / "mosquitto.conf"
            path.write_text(
                configuration(self.port, persistence=self._persistence, extra=self._extra)
            )
            # Its own session: Ctrl-C on the terminal is ours to handle, we stop it ourselves.
            self._process = subprocess.Popen(
                [*ending_with_us(), program, "-c", str(path)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                start_new_session=True,
            )
            self._reader = threading.Thread(
                target=self._read_log, args=(self._process,), daemon=True
            )
            self._reader.start()
            try:
                self._wait_ready()
            except BaseException:
                self.stop()
                raise

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while not accepts(self.port, self._tls):
            ended = self._process is None or self._process.poll() is not None
            if not ended and time.monotonic() < deadline:
                time.sleep(0.01)
                continue
            if ended and self._reader:
                self._reader.join(_STOP_TIMEOUT)
            what = "ended" if ended else f"did not answer within {START_TIMEOUT:.0f} s"
            log = self.tail()
            raise BrokerError(
                f"mosquitto on port {self.port} {what} instead of accepting connections."
                + (f" Its log ends with:\n{log}" if log else " It logged nothing.")
            )

    def _read_log(self, process: "subprocess.Popen[str]") -> None:
        assert process.stderr is not None
        with process.stderr:
            for line in process.stderr:
                self._tail.append(line.rstrip())
                if self._log:
                    self._log(line.rstrip())


def ending_with_us() -> list[str]:
    """Return what to put before a command so that Linux ends it with the thread that started it."""
    # Not preexec_fn: that runs Python in a fork of a process with threads.
    program = shutil.which("setpriv")
    return [program, "--pdeathsig", "TERM", "--"] if program else []


def accepts(port: int, tls: bool = False) -> bool:
    """Return whether a broker on `port` accepts an MQTT connection."""
    try:
        with _connect(port, tls) as connection:
            connection.sendall(_CONNECT)
            answer = connection.recv(4)
            connection.sendall(_DISCONNECT)
            # Anything well-formed means it is up; a configuration may well refuse the anonymous.
            return answer[:2] == _CONNACK[:2]
    except ssl.SSLError as error:
        # It speaks TLS, and wants a certificate that we do not have.
        return "ALERT" in (error.reason or "")
    except OSError:
        return False


def _connect(port: int, tls: bool) -> socket.socket:
    connection = socket.create_connection((HOST, port), timeout=1)
    if not tls:
        return connection
    # Only to see whether it is up: nothing is trusted, nothing is said.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with connection:
        return context.wrap_socket(connection)


def run_foreground(port: int, say: Callable[[str], None]) -> None:
    """Run a broker on loopback `port` until Ctrl-C; `say` gets its log. BrokerError if it dies."""
    with Broker(port, log=say) as broker:
        try:  # from the first word on: who reads it may stop it at once
            say(f"MQTT broker on {broker.host}:{broker.port}, this machine only. Ctrl-C stops it.")
            status = broker.wait()
        except KeyboardInterrupt:
            say("Broker stopped.")
            return
        raise BrokerError(
            f"mosquitto ended with status {status}. Its log ends with:\n{broker.tail()}"
        )
