"""Measures TLS with a pre-shared key beside TLS with certificates, at mosquitto.

The board's own code opens the connections (connect.py), run by the executable of the simulated
board's firmware as an ordinary program.
"""

import json
import subprocess
from pathlib import Path

from ci.bench import Figure, median
from ci.bench.raw import extract
from ci.bench.rig import Rig
from mqhost.broker.authority import Authority
from mqhost.broker.passwords import make_key
from mqhost.build.sources.source import planned_source
from mqhost.paths import FROZEN
from mqhost.sim.broker import HOST, Broker, free_port

_PROGRAM = Path(__file__).with_name("connect.py")
_HEAP = "320k"  # for two kinds of connections after each other
_IDENTITY = "bench"
# As mqboard broker-config makes them, with forward secrecy, and without.
_CURVES, _PLAIN = "ECDHE-PSK-AES128-CBC-SHA256", "PSK-AES128-GCM-SHA256"
_KINDS = "key", "certificate"
_LONGEST = 120.0  # seconds, or something hangs


def measure(rig: Rig) -> dict[str, Figure]:
    """handshake_ratio: how long a connection with a pre-shared key takes, its context included, in
    parts of one with certificates (ECDSA with P-256, a CA and the broker's, as `mqboard
    broker-config` makes them); both take turns. handshake_ms: the same in milliseconds; `limit`:
    with certificates. plain_ratio: without elliptic curves, for brokers that have none, and then
    without forward secrecy. heap_bytes: what a connection holds of MicroPython's heap; `limit`:
    with certificates. mbedTLS's own memory is not in it.
    """
    count = 20 if rig.quick else 100
    key, ca = make_key(), Authority.make("MQBoard bench", "")[0]
    certificates, curves, plain = free_port(), free_port(), free_port()
    lines = _listeners(rig, ca, key, certificates, {curves: _CURVES, plain: _PLAIN})
    paths = _IDENTITY, key, certificates, _ca(rig, ca)
    with Broker(extra=lines):
        turns = [
            _connect(rig, port, *paths, count, *_KINDS)  # two kinds, with each kind of key
            for port in (curves, plain)
        ]
        heaps = [_connect(rig, curves, *paths, 1, kind)[0][0][0] for kind in _KINDS]
    (with_key, with_certificates), simple = (
        [median(times) / 1000 for _, times in turn] for turn in turns
    )
    return {
        "handshake_ratio": Figure(round(with_key / with_certificates, 3), "", count, aim=1),
        "handshake_ms": Figure(round(with_key, 3), "ms", count, limit=round(with_certificates, 3)),
        "plain_ratio": Figure(round(simple[0] / simple[1], 3), "", count),
        "heap_bytes": Figure(heaps[0], "B", 1, limit=heaps[1]),
    }


def _connect(rig: Rig, *arguments: object) -> list[tuple[list[float], list[float]]]:
    """Return (bytes, microseconds) of the connections of each kind."""
    source = planned_source(rig.definition).path
    done = subprocess.run(
        [extract(rig.firmware().app, rig.folder), "-X", f"heapsize={_HEAP}", _PROGRAM]
        + [str(argument) for argument in arguments],
        # Without .frozen, which has the simulated chip's modules.
        env={"MICROPYPATH": f"{FROZEN}:{source / 'extmod'}"},
        stdout=subprocess.PIPE,
        check=True,
        timeout=_LONGEST,
    )
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def _ca(rig: Rig, ca: Authority) -> Path:
    path = rig.folder / "psk-ca.pem"
    path.write_bytes(ca.pem)
    return path


def _listeners(
    rig: Rig, ca: Authority, key: str, certificates: int, keys: dict[int, str]
) -> list[str]:
    """Return lines for mosquitto.conf: a port with certificates, and ports with keys by ciphers."""
    issued = ca.issue_server(("localhost",), 30)
    server, known = rig.folder / "psk-server.pem", rig.folder / "psk-keys"
    server.write_bytes(issued.certificate + issued.key)
    known.write_text(f"{_IDENTITY}:{key}\n")
    lines = [f"psk_file {known}", f"listener {certificates} {HOST}"]
    lines += [f"certfile {server}", f"keyfile {server}", "tls_version tlsv1.2"]
    for port, ciphers in keys.items():
        lines += [f"listener {port} {HOST}", "psk_hint mqboard", f"ciphers {ciphers}"]
        lines.append("tls_version tlsv1.2")
    return lines
