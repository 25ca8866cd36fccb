"""Holds what one test has: a broker of its own, and the boards that are there."""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mqhost.deploy.application import Application
from mqhost.errors import UsageError
from mqhost.sim.broker import Broker
from mqhost.sim.device import HEAP
from mqhost.sim.filesystem import default_config, provision_flash
from mqhost.testing.application import files_of, local_files, note, read_application
from mqhost.testing.board import SimBoard
from mqhost.testing.firmware import Firmware, load

PREFIX = "test/board"
_HEALTH_S = 0.5  # a test does not wait for what proves good
_WORDS = ("app", "config", "modules", "files", "firmware", "heap")


class World:
    """A broker and its boards, which live as long as the `with` block. `folder`: for their files;
    `root`: what paths of options are from. Raises BrokerError where there is no mosquitto.
    """

    def __init__(self, folder: Path, root: Path, firmware: Firmware) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._root = root
        self._firmware = firmware
        self._cleanup = contextlib.ExitStack()
        self.boards: list[SimBoard] = []
        # What it has retained, and its sessions, are there again after an outage.
        self.broker = Broker(persistence=folder)
        self.broker.start()
        self._cleanup.callback(self.broker.stop)

    def __enter__(self) -> "World":
        return self

    def __exit__(self, *_: object) -> None:
        self._cleanup.close()

    def add(
        self,
        prefix: str | None = None,
        *,
        app: str | Path | Application | None = None,
        config: Mapping[str, Any] | None = None,
        modules: Mapping[str, Any] | None = None,
        files: Mapping[str, bytes | str | Path] | None = None,
        firmware: str | Path | None = None,
        heap: str = HEAP,
        **unknown: Any,
    ) -> SimBoard:
        """Make a board, and return it online. Raises ToolError: a wrong option, what is not there,
        a board that does not come up.
        """
        if unknown:
            raise UsageError(
                f"{', '.join(sorted(unknown))} is nothing that a board of a test can be given; "
                f"it can be given {', '.join(_WORDS)}."
            )
        number = len(self.boards) + 1
        name = prefix or PREFIX + (str(number) if number > 1 else "")
        made = load(self._root / firmware) if firmware else self._firmware
        path = self._folder / f"{number}.flash"
        wanted = merged(
            default_config(name, self.broker.host, self.broker.port, health_s=_HEALTH_S),
            {"modules": merged(made.modules, modules or {})},
        )
        wanted = merged(wanted, config or {})
        if isinstance(app, (str, Path)):
            app = read_application(self._root / app)
        content = local_files(files or {}, self._root)
        if app:
            content |= files_of(app)
        provision_flash(path, made.flash, made.table, wanted, files=content, size=made.flash_size)
        if app:
            note(app, path, made.table)
        board = SimBoard(wanted, self.broker, path, made.table, heap)
        self.boards.append(board)
        self._cleanup.enter_context(board)
        board.wait_online()
        return board


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with `changes`: objects go together key by key, all else is replaced."""
    found = dict(base)
    for key, value in changes.items():
        old = found.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            value = merged(old, value)
        found[key] = value
    return found
