"""Boots from damaged filesystems by the hundred; no boot may hang, and no board may boot for ever.

    python -m ci.storage APP FLASH [CASES] [FIRST]

Each case is one damaged image of the filesystem (damage.py), booted by the firmware in APP as far
as it has to do with files (agent.py), in a process of its own, with a deadline where a board has
its watchdog. After a boot that died the next one finds flash and RTC memory as they were left.
"""

import json
import signal
import subprocess
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random

from ci.bench.raw import extract
from ci.storage.damage import damaged
from mqhost.flash.filesystem import blank_filesystem
from mqhost.flash.partition import PartitionTable
from mqhost.progress import Progress, silent
from mqhost.sim.chip import ResetCause
from mqhost.sim.device import HEAP
from mqhost.sim.filesystem import FLASH_SIZE, default_config

_AGENT = Path(__file__).with_name("agent.py")
_MOST_BOOTS = 4
_WATCHDOG_SECONDS = 10.0  # a good boot takes a hundredth of that
_MOST_READS = 2000  # of up to 128 bytes, while it mounts; a slow ESP32 takes a second for them


@dataclass
class Count:
    """How many cases there were, what came of them ("fine", "damaged", "made anew", as the board
    says in its birth message), and a sentence for each that must not be."""

    cases: int = 0
    found: Counter[str] = field(default_factory=Counter)
    boots: int = 0  # of all cases
    stuck: list[str] = field(default_factory=list)


class Bench:
    """A flash file in `folder`, made from `flash` (a flash.bin), and the program of `app`."""

    def __init__(self, folder: Path, app: Path, flash: Path, table: PartitionTable):
        self.count = Count()
        self._program = extract(app, folder)
        self._flash = folder / "storage.flash"
        self._memory = folder / "storage.rtc"
        self._vfs = table.find("vfs")
        self._flash.write_bytes(flash.read_bytes().ljust(FLASH_SIZE, b"\xff"))
        self.newest, self.older = _filesystems(self._vfs.size)

    def attack(self, cases: int, first: int = 0, progress: Progress = silent) -> Count:
        """Run so many cases, from number `first` on; return the count, earlier runs included."""
        for done in range(cases):
            progress("damaging filesystems", done, cases)
            case = first + done
            name, image = damaged(self.newest, self.older, case)
            self.count.cases += 1
            try:
                self.count.found[self.recover(image)] += 1
            except Stuck as error:
                self.count.stuck.append(f"case {case}, {name}: {error}")
        return self.count

    def recover(self, image: bytes, deaths: int = 0, at: int = 0) -> str:
        """Boot from `image` until a boot gets through; return what the board says of it.

        The first `deaths` boots die at their read number `at` of the filesystem. Raises Stuck.
        """
        self.write(image)
        cause = ResetCause.PWRON
        why = ""
        for number in range(_MOST_BOOTS):
            try:
                told = self.boot(cause, at if number < deaths else None)
            except Stuck as error:
                why = str(error)
                cause = ResetCause.WDT
                continue
            return _judged(told)
        raise Stuck(f"{_MOST_BOOTS} boots died, the last one so: {why}")

    def write(self, image: bytes) -> None:
        """Begin anew, with this filesystem."""
        with self._flash.open("r+b") as file:
            file.seek(self._vfs.offset)
            file.write(image)
        self._memory.write_bytes(b"")

    def boot(self, cause: ResetCause, dies_at: int | None = None) -> dict:
        """Boot once; return what agent.py tells. Raises Stuck when it dies."""
        self.count.boots += 1
        argv = [str(self._program), "-X", f"heapsize={HEAP}", str(_AGENT)]
        argv += [str(self._flash), str(self._memory), str(int(cause)), str(self._vfs.offset)]
        argv += [] if dies_at is None else [str(dies_at)]
        try:
            done = subprocess.run(
                argv,
                env={"MICROPYPATH": ".frozen"},
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_WATCHDOG_SECONDS,
            )
        except subprocess.TimeoutExpired:
            raise Stuck(f"no end within {_WATCHDOG_SECONDS:g} s") from None
        if done.returncode:
            status = done.returncode
            what = signal.Signals(-status).name if status < 0 else f"status {status}"
            raise Stuck(f"{what}: {done.stdout[-300:]}{done.stderr[-300:]}")
        return json.loads(done.stdout.splitlines()[-1])


class Stuck(Exception):
    """Raised when a boot died, or all of them; the text says how."""


def _judged(told: dict) -> str:
    """Return what the board said of its filesystem, in two words. Raises Stuck if that is wrong, or
    if it took too long."""
    storage = str(told["storage"] or "fine").partition(":")[0]
    if not told["files"] and storage == "fine":
        raise Stuck(f"all files are gone, and the board says {told['storage']!r}")
    if told["boot_reads"] > _MOST_READS:
        raise Stuck(f"the boot reads {told['boot_reads']} times from the filesystem")
    return storage


@cache
def _filesystems(size: int) -> tuple[bytes, bytes]:
    """Make a filesystem as it is after some life: as it is, and as it once was."""
    random = Random(1)
    system = blank_filesystem(size)

    def write(path: str, data: bytes) -> None:
        with system.open(path, "wb") as file:
            file.write(data)

    for folder in ("/app", "/certs", "/lib", "/data", "/data/old"):
        system.mkdir(folder)
    write("/config.json", b"[]")
    write("/certs/ca.pem", random.randbytes(1500))
    write("/app/pump.py", random.randbytes(5000))
    for number in range(30):
        write(f"/lib/module{number}.py", random.randbytes(random.choice((50, 700, 3000, 9000))))
    for day in range(40):
        write("/data/log.txt", random.randbytes(1000 * day))
        write("/data/state.json", random.randbytes(60))
        write(f"/data/old/{day}.csv", random.randbytes(random.choice((30, 5000))))
        if day == 20:
            older = bytes(system.context.buffer)
        elif day > 20:
            system.remove(f"/data/old/{day - 20}.csv")
    config = default_config("storage/board", "127.0.0.1", 1883)
    write("/config.json", json.dumps(config).encode())
    return bytes(system.context.buffer), older
