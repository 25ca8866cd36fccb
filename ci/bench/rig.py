"""Gives the groups what they measure on: firmware, a broker, and boards, made when first wanted.

A board lives in a process of its own (simboard.py), as a real one would: what it does takes no time
from the host's Python, whose part is measured too.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from mqhost import packages
from mqhost.build import board as boards
from mqhost.build.build import BuildResult, build
from mqhost.errors import SilentBoardError, ToolError
from mqhost.flash.partition import TABLE_OFFSET, TABLE_SIZE, PartitionTable
from mqhost.link.session import Session
from mqhost.link.settings import Settings
from mqhost.paths import BUILD, FROZEN, ROOT
from mqhost.progress import Progress
from mqhost.sim.broker import Broker
from mqhost.sim.filesystem import FLASH_SIZE, default_config, provision_flash

VERSION, NEXT_VERSION, CHANGED_VERSION = "bench.1", "bench.2", "bench.3"
# Where the line goes in the firmware that has one more.
CHANGED_MODULE, CHANGED_AFTER = "mqboard/net/link.py", "        while True:\n"
PREFIX = "bench/board"
_OUTPUT = BUILD / "bench"
_UNCOMPILED = "PYTHONDONTWRITEBYTECODE"
_BOOT_SECONDS = 60.0
_LARGE = 8 << 20  # bytes of flash
_TAIL = 1500


@dataclass
class Running:
    """A board that is up: the `session` with it, and once it is off what its process `saw`: the
    `last_write` into a slot (nanoseconds since 1970), how many `writes` into slots there were, and
    the `flash_seconds` that these took, with their erasing.
    """

    session: Session
    saw: dict = field(default_factory=dict)


class Rig:
    """Use it as a context manager. `quick`: fewer runs."""

    def __init__(self, quick: bool, progress: Progress) -> None:
        self.quick = quick
        self.progress = progress
        self.definition = boards.find("sim")
        self.table = self.definition.table
        self._built: dict[str, BuildResult] = {}
        self._cleanup = contextlib.ExitStack()

    def __enter__(self) -> "Rig":
        return self

    def __exit__(self, *_: object) -> None:
        self._cleanup.close()

    @cached_property
    def folder(self) -> Path:
        """A folder for what is needed only now."""
        return Path(self._cleanup.enter_context(tempfile.TemporaryDirectory(prefix="mqb-bench-")))

    @cached_property
    def environment(self) -> dict[str, str]:
        """The environment of a tool that starts as it does for people: with what it compiled the
        last time, whatever is set here.
        """
        others = {name: value for name, value in os.environ.items() if name != _UNCOMPILED}
        return others | {"PYTHONPYCACHEPREFIX": str(self.folder / "pycache")}

    @cached_property
    def broker(self) -> Broker:
        """The broker that all boards and raw clients use, started when first wanted."""
        packages.ensure("broker", say=lambda line: self.progress(line, 0, 0))
        return self._cleanup.enter_context(Broker())

    @property
    def settings(self) -> Settings:
        """The settings by which a session finds the board."""
        return Settings(
            server=self.broker.host, port=self.broker.port, tls=False, prefix=PREFIX, timeout=20
        )

    def firmware(self, version: str = VERSION) -> BuildResult:
        """Build the simulated board's firmware as it is now, calling itself `version`."""
        if version not in self._built:
            self._built[version] = build(
                self.definition,
                version=version,
                output=_OUTPUT / version,
                progress=self.progress,
            )
        return self._built[version]

    def variant(self, version: str, modules: dict[str, str]) -> BuildResult:
        """Build firmware with these files (path → text) frozen in the place of its own."""
        folder = self.folder / version
        for name, text in modules.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        return build(
            self.definition,
            version=version,
            output=_OUTPUT / version,
            extra_frozen=folder,
            progress=self.progress,
        )

    @cached_property
    def changed(self) -> BuildResult:
        """The firmware with another version and one line more in one of its functions."""
        before, place, after = (FROZEN / CHANGED_MODULE).read_text().partition(CHANGED_AFTER)
        assert place, f"{CHANGED_MODULE} has no such line any more: choose another place"
        line = '            self.log.info("looking for a network")\n'
        return self.variant(CHANGED_VERSION, {CHANGED_MODULE: before + place + line + after})

    @contextlib.contextmanager
    def board(
        self,
        slow: bool = False,
        prefix: str = PREFIX,
        auth_key: str = "",
        image: Path | None = None,
        files: dict[str, bytes] | None = None,
        large: bool = False,
        uart: str = "",
    ) -> Iterator[Running]:
        """Run a new board with the firmware in its first slot, nothing in the second; it is up.

        `slow`: its flash is as slow as that of an ESP32, and its second slot has to be erased.
        Boards that run at once have other prefixes. `auth_key`: it takes commands with that only.
        `image`: another flash.bin. `files`: what is in its filesystem. `large`: that has the rest
        of a flash of 8 MiB. `uart`: the terminal at its UART 1, where its bridge has a target.
        """
        name = prefix.replace("/", "-")
        flash = self.folder / f"{name}.bin"
        flash.unlink(missing_ok=True)
        config = default_config(prefix, self.broker.host, self.broker.port)
        if auth_key:
            config["auth"] = {"key": auth_key}
        if uart:
            config["bridge"] = {"tx": 17, "rx": 16}
        image_bytes = (image or self.firmware().flash).read_bytes()
        table, size = self.table, FLASH_SIZE
        if large:
            table, image_bytes = enlarged(table, image_bytes)
            size = _LARGE
        provision_flash(flash, image_bytes, table, config, files=files, size=size)
        if slow:
            with flash.open("r+b") as file:
                file.seek(self.table.slots[1].offset)
                file.write(bytes(self.table.slots[1].size))
        console = self.folder / f"{name}.log"
        settings = replace(self.settings, prefix=prefix, auth_keys=(auth_key,) if auth_key else ())
        with console.open("wb") as log, Session(settings) as session:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "ci.bench.simboard",
                    str(flash),
                    *["slow"] * slow,
                    f"uart={uart}",
                ],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
            running = Running(session)
            # The board ends when its process sees the end of its input, also if we are killed.
            with process:
                online = session.births
                if not _wait_birth(session, online):
                    process.kill()
                    raise SilentBoardError(
                        f"The simulated board did not come up within {_BOOT_SECONDS:.0f} s. Its "
                        f"console ends with:\n{_tail(console)}"
                    )
                try:
                    yield running
                finally:
                    output, _ = process.communicate()
            if process.returncode:
                raise ToolError(f"The simulated board failed:\n{_tail(console)}")
            running.saw.update(json.loads(output))


def enlarged(table: PartitionTable, image: bytes) -> tuple[PartitionTable, bytes]:
    """Return `table` and the flash image `image` with a filesystem up to the end of 8 MiB."""
    *before, vfs = table.partitions
    large = PartitionTable((*before, replace(vfs, size=_LARGE - vfs.offset)))
    behind = TABLE_OFFSET + TABLE_SIZE
    return large, image[:TABLE_OFFSET] + large.to_bytes() + image[behind:]


def _wait_birth(session: Session, births: int) -> bool:
    """Return whether a board announced itself, after the `births` that are old news."""
    return bool(session.wait_status(lambda _: session.births > births, _BOOT_SECONDS))


def _tail(console: Path) -> str:
    return console.read_text(errors="replace")[-_TAIL:]
