"""Runs a NATS server with JetStream and MQTT.

Settings: https://docs.nats.io/running-a-nats-service/configuration/mqtt, of version 2.9.
"""

import contextlib
import shutil
import tempfile
from pathlib import Path

from ci.cluster.process import Process, find
from mqhost.sim.broker import HOST, accepts, free_port

_CONF = """\
server_name: "mqboard"
host: {host}
port: {client}
jetstream {{ store_dir: "{folder}" }}
mqtt {{ host: {host}, port: {port}, ack_wait: "10s" }}
"""


class Nats:
    """Listens for MQTT on `port` while the `with` block runs."""

    def __init__(self) -> None:
        self.port = free_port()
        self._stack = contextlib.ExitStack()

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def __enter__(self) -> "Nats":
        with self._stack:
            folder = Path(tempfile.mkdtemp(prefix="mqboard-nats-"))
            self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
            conf = folder / "nats.conf"
            conf.write_text(
                _CONF.format(host=HOST, port=self.port, client=free_port(), folder=folder)
            )
            self._process = Process([find("nats-server", "nats-server"), "-c", str(conf)], folder)
            self._stack.callback(self._process.stop, hard=True)
            self._process.wait(lambda: accepts(self.port), 20)
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
