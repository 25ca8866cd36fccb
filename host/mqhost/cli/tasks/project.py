"""Has the Invoke tasks of a project of the user's own: what its tasks.py imports.

    from mqhost.cli.tasks.project import *

Each is the `mqboard` command of that name, with its options. `boards` has those of its
--definitions: it is about the kinds that firmware is built for, as the task of a checkout.
"""

from collections.abc import Container
from typing import Any

from invoke import task
from rich.console import Console

from mqhost.cli.main import cli
from mqhost.cli.tasks.edge import edge
from mqhost.cli.tasks.show import definitions
from mqhost.cli.tasks.twin import Twin

__all__ = [
    "adopt", "artifact", "boards", "broker", "build", "clean", "deploy", "dev", "doctor",
    "flash", "keys", "monitor", "ota", "provision", "sim", "test",
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


@task(
    help={
        "verify": "check every board: its plan, layout and files, against MicroPython's own",
        "micropython": "for --verify: a MicroPython checkout, instead of the release if cloned",
        "board": "only this board",
        "json": "print JSON instead of the table",
    }
)
@edge
def boards(
    _: Any,
    verify: bool = False,
    micropython: str | None = None,
    board: str | None = None,
    json: bool = False,
) -> None:
    """List the boards that firmware can be built for; or check them, without a compiler."""
    console = Console(highlight=False, soft_wrap=True)
    definitions(console, board=board, verify=verify, micropython=micropython, as_json=json)


adopt = _task("adopt", None)
artifact = _task("artifact")
broker = _task("broker", ("--port",))
build = _task("build")
clean = _task("clean")
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
