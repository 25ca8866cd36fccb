"""Runs programs on MicroPython with only the client frozen, at a peer or mosquitto, also over TLS.

The executable is the simulated board's, built with manifest/client.py, or another that has the
client in it, too: it runs as an ordinary program, with the board's heap and none of its hardware.
"""

import contextlib
import datetime
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ci.bench.mqtt.peer import Peer, flood_broker, publish_packet
from ci.bench.raw import extract
from ci.bench.rig import VERSION, Rig
from mqhost.build.build import BuildResult, build
from mqhost.paths import BUILD, ROOT
from mqhost.sim.broker import Broker, free_port
from mqhost.sim.device import HEAP

RAW = Path(__file__).with_name("raw.py")
OURS = Path(__file__).with_name("ours.py")
_OUTPUT = BUILD / "bench" / "client"
_ROOMY = "4m"  # a heap for counting what is allocated: nothing is collected meanwhile
_SERVER_FILES = ("cert", "pem"), ("key", "key")
_LONGEST = 60.0  # seconds for a program, or something hangs
_PAUSE = 0.003  # between messages that come one by one


class Lab:
    """Use it as a context manager. The firmware is built when it is first wanted."""

    def __init__(self, rig: Rig, manifest: Path = ROOT / "manifest" / "client.py") -> None:
        self._rig = rig
        self._manifest = manifest
        self.folder = rig.folder / manifest.stem
        self.folder.mkdir()
        certify(self.folder)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "server.pem", self.folder / "server.key")
        self._peers = {False: Peer(), True: Peer(context)}
        self._cleanup = contextlib.ExitStack()
        for peer in self._peers.values():
            self._cleanup.callback(peer.close)

    def __enter__(self) -> "Lab":
        return self

    def __exit__(self, *_: object) -> None:
        self._cleanup.close()

    @cached_property
    def firmware(self) -> BuildResult:
        """MicroPython with what the manifest freezes, built when first wanted."""
        # The board keeps its name and so its build tree: only what is frozen is compiled anew.
        definition = replace(self._rig.definition, manifest=self._manifest)
        output = _OUTPUT.with_name(self._manifest.stem)
        return build(definition, version=VERSION, output=output, progress=self._rig.progress)

    @contextlib.contextmanager
    def program(
        self, file: Path, *arguments: object, heap: str = HEAP
    ) -> Iterator["subprocess.Popen[str]"]:
        """Run a MicroPython program with these arguments; it is killed at the end."""
        executable = extract(self.firmware.app, self.folder)
        process = subprocess.Popen(
            [str(executable), "-X", f"heapsize={heap}", str(file), *map(str, arguments)],
            env={"MICROPYPATH": ".frozen"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        late = threading.Timer(_LONGEST, process.kill)
        late.start()
        with process:
            try:
                yield process
            finally:
                late.cancel()
                process.kill()

    def seconds(self, file: Path, secure: bool, kind: str, size: int, count: int) -> float:
        """Return how long the program in `file` takes for `count` messages of `size` bytes."""
        with self._run(file, secure, kind, size, count, HEAP) as (link, process):
            if kind.startswith("rx"):
                qos = int(kind[2])
                packets = [publish_packet(qos, size, number + 1) for number in range(count)]
                seconds = link.flood(packets, 4 * count if qos else 8)
            else:
                packet = publish_packet(0 if kind == "pub0" else 1, size)
                ident = None if kind == "pub0" else len(packet) - size - 2
                seconds = link.take(count, len(packet), ident)
            _end(process)
        return seconds

    def seconds_at_mosquitto(
        self, file: Path, secure: bool, kind: str, size: int, count: int
    ) -> float:
        """Return the same with mosquitto for a peer, from the first message to the last."""
        broker, secure_port = self._mosquitto
        port, ca = (secure_port, self.folder / "ca.der") if secure else (broker.port, "-")
        with self.program(file, port, ca, kind, size, count) as process:
            _expect(process, "ready")
            started = time.perf_counter()
            if kind.startswith("rx"):
                flood_broker(broker.port, int(kind[2]), size, count)
            _expect(process, "done")
            seconds = time.perf_counter() - started
            _end(process)
        return seconds

    @cached_property
    def _mosquitto(self) -> tuple[Broker, int]:
        """Run a broker; give it and the port on which it speaks TLS."""
        port = free_port()
        # The raw reader takes what fills its buffer, however many messages that are.
        extra = ["max_queued_messages 0", "max_inflight_messages 0", f"listener {port} 127.0.0.1"]
        extra += [f"{name}file {self.folder}/server.{end}" for name, end in _SERVER_FILES]
        return self._cleanup.enter_context(Broker(extra=extra)), port

    def allocated(self, qos: int, size: int, one_by_one: bool = False) -> float:
        """Return the bytes that our client allocates for a message received."""
        count = 150
        packets = [publish_packet(qos, size, number + 1) for number in range(count)]
        with self._run(OURS, False, f"alloc{qos}", size, count, _ROOMY) as (link, process):
            for packet in packets if one_by_one else [b"".join(packets)]:
                link.send(packet)
                time.sleep(_PAUSE)
            return float(_end(process).split()[0])

    def heap(self) -> tuple[int, int]:
        """Return the heap in use with asyncio running, and with our client connected, too."""
        with self._run(OURS, False, "heap", 0, 0, HEAP) as (_, process):
            asyncio_only, connected = map(int, _end(process).split())
        return asyncio_only, connected

    @contextlib.contextmanager
    def _run(self, file: Path, secure: bool, kind: str, size: int, count: int, heap: str):
        peer = self._peers[secure]
        ca = self.folder / "ca.der" if secure else "-"
        with self.program(file, peer.port, ca, kind, size, count, heap=heap) as process:
            link = peer.accept(subscribes=kind[:2] in ("rx", "al", "he"))
            try:
                _expect(process, "ready")
                yield link, process
            finally:
                link.close()


def _expect(process: "subprocess.Popen[str]", word: str) -> None:
    """Wait for a line with just this word."""
    line = process.stdout.readline() if process.stdout else ""
    assert line == word + "\n", f"the program said {line!r} instead of {word}"


def _end(process: "subprocess.Popen[str]") -> str:
    """Let the program end, and return what else it printed."""
    assert process.stdin and process.stdout
    process.stdin.close()
    output = process.stdout.read()  # not communicate(): lines may have been read ahead
    assert process.wait(30) == 0, f"the program ended with status {process.returncode}"
    return output


def certify(folder: Path) -> None:
    """Make a certificate for localhost: server.pem and server.key, and as its own CA, ca.der."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    encodings, private = serialization.Encoding, serialization.PrivateFormat
    (folder / "ca.der").write_bytes(certificate.public_bytes(encodings.DER))
    (folder / "server.pem").write_bytes(certificate.public_bytes(encodings.PEM))
    (folder / "server.key").write_bytes(
        key.private_bytes(encodings.PEM, private.PKCS8, serialization.NoEncryption())
    )
