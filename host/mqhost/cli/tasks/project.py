"""Has the Invoke tasks of a project of the user's own: what its tasks.py imports.

    from mqhost.cli.tasks.project import *

Each is the `mqboard` command of that name, with its options.
"""

from collections.abc import Container
from typing import Any

from invoke import task

from mqhost.cli.main import cli
from mqhost.cli.tasks.edge import edge
from mqhost.cli.tasks.twin import Twin

__all__ = [
    "adopt", "artifact", "broker", "build", "deploy", "dev", "doctor", "flash", "keys", "monitor",
    "ota", "provision", "sim", "test",
]  # fmt: skip

_LONG = 1000  # characters: a whole sentence


def _task(name: str, before: Container[str] | None = ()) -> Any:
    """Return the task that is the command `name`; `before` as a Twin has it."""
    twin = Twin(name, before)

    @twin.options
    def body(_: Any, **options: Any) -> None:
        twin.run(options)

    body.__name__ = name
    body.__doc__ = cli.commands[name].get_short_help_str(_LONG)
    return task(**twin.texts)(edge(body))


adopt = _task("adopt", None)
artifact = _task("artifact")
broker = _task("broker", ("--port",))
build = _task("build")
deploy = _task("deploy", None)
dev = _task("dev", None)
doctor = _task("doctor")
flash = _task("flash")
keys = _task("keys")
monitor = _task("monitor")
ota = _task("ota", None)
provision = _task("provision")
sim = _task("sim", ("--prefix", "--server", "--port"))
test = _task("test")
