"""Runs `mqboard fleet serve` as a person does, for what looks at its page."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mqhost.sim.broker import Broker, free_port


@contextmanager
def serving(broker: Broker, folder: Path) -> Iterator[str]:
    """Serve the boards at `broker`; yield the address. The database is database(folder)."""
    port = free_port()
    argv = [str(Path(sys.executable).parent / "mqboard"), "--server", broker.host]
    argv += ["--port", str(broker.port), "--no-tls", "fleet", "serve", "--listen"]
    environment = {name: text for name, text in os.environ.items() if "MQBOARD" not in name}
    process = subprocess.Popen(
        [*argv, f"127.0.0.1:{port}"],
        env=environment | {"XDG_STATE_HOME": str(folder / "state")},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout
        said = process.stdout.readline()
        assert "http://" in said, f"mqboard fleet serve said {said!r}"
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def database(folder: Path) -> str:
    """Return where the database of such a server is."""
    return str(folder / "state" / "mqboard" / "fleet.db")
