"""Runs HAProxy in front of several brokers: one port, whose connections go to those that are up."""

import contextlib
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ci.cluster.process import Process, find
from mqhost.sim.broker import HOST, accepts, free_port

_CONF = """\
global
    maxconn 8000
defaults
    mode tcp
    timeout connect 5s
    timeout client 10m
    timeout server 10m
    option redispatch
    retries 3
listen mqtt
    bind {host}:{port}
    balance leastconn
"""
# A node that does not answer twice is left out, and taken again when it does.
_SERVER = "    server node{number} {host}:{port} check inter 500 fall 2 rise 2\n"


class Balancer:
    """Listens on `port` while the `with` block runs, for the brokers at `ports`."""

    def __init__(self, ports: Sequence[int]) -> None:
        self.port = free_port()
        self._ports = ports
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "Balancer":
        with self._stack:
            folder = Path(tempfile.mkdtemp(prefix="mqboard-haproxy-"))
            self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
            text = _CONF.format(host=HOST, port=self.port)
            for number, port in enumerate(self._ports, 1):
                text += _SERVER.format(number=number, host=HOST, port=port)
            (folder / "haproxy.cfg").write_text(text)
            program = find("haproxy", "haproxy")
            process = Process([program, "-f", "haproxy.cfg"], folder)
            self._stack.callback(process.stop, hard=True)
            process.wait(lambda: accepts(self.port), 20)
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
