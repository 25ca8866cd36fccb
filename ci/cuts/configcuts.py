"""Cuts the power at every flash operation of a change of a board's configuration.

    the running configuration, a new one -> sweep -> how often power went, and what was lost by it

On the desk (ci.desk), where files lie in a real LittleFS on the simulated flash. Whatever the cut,
the board must, once power is back,

  - come up with the old configuration or the new one, complete, in its file and in NVS,
  - reach its broker and settle, after going back by itself where the new one does not reach it,
  - stay so over power cycles, and take the next change.

Power also goes a second time, while the board recovers from the first.
"""

import asyncio
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ci.cuts.desksweep import DeskSweep, in_time
from ci.cuts.powercuts import Bricked, Count, Image, nearly_full, settled
from ci.desk import CONFIG, PREFIX, Desk, Life, open_desk
from mqhost.flash.partition import DATA, NVS
from mqhost.progress import Progress, silent
from mqhost.sim.nvs import BLOB, Nvs
from mqwire import command_topic, header

_idents = itertools.count()  # of commands
_RESTART_SECONDS = 10  # of board time, that a reset takes at most


@dataclass(frozen=True)
class Story:
    """A change: `flash` as it is before, with a configuration out of `known` running; `wish` is the
    command's tail, `text` its body; `ends` are the configurations that it may end with, the last
    one if power stays.
    """

    name: str
    flash: bytes
    wish: str
    text: str
    ends: tuple[str, ...]


@dataclass
class Change:
    """Plays the host: asks the settled board for the change and waits until it resets."""

    wish: str
    text: str
    told: dict = field(default_factory=dict)  # what the board answered

    async def __call__(self, life: Life) -> None:
        """Send the command."""
        await in_time(life)
        command = header(0, True) + self.text.encode()
        ident = f"{next(_idents):08x}"
        life.tell(command_topic(PREFIX, "config", ident, self.wish), command)
        reply = await life.reply(ident)
        self.told = json.loads(reply[2:])
        if "window_s" in self.told:
            await asyncio.sleep(_RESTART_SECONDS)


class Sweep(DeskSweep):
    """Changes the configuration of one desk board and cuts its power."""

    def _tell(self, story: Story) -> None:
        self._play(Change(story.wish, story.text))

    def _go_on(self) -> None:
        if not self._boot(Change("push", NEXT)):
            raise Bricked("the board does not take the next configuration")
        self._settle()
        self._check((NEXT,))

    def _check(self, ends: tuple[str, ...]) -> None:
        """Raise Bricked unless one of these configurations is in the file and in NVS."""
        text = file_of(self._desk)
        if text not in ends:
            raise Bricked(f"the file is {text!r:.200}")
        if kept_of(self._desk) != text:
            raise Bricked(f"NVS has {kept_of(self._desk)!r:.200}")


def sweep(
    folder: Path, cuts: int | None = None, seed: int = 0, progress: Progress = silent
) -> Count:
    """Make all the cuts there are, or `cuts` of them: see DeskSweep.run. `folder` is for the flash
    file.
    """
    desk = open_desk(folder / "configcuts.flash")
    return Sweep(desk, seed).run(stories(desk), cuts, progress)


def _config(host: str = "desk", **more: object) -> str:
    """Return a configuration with the broker `host`, a password, and about 1 KB in it."""
    broker = {"host": host, "tls": False, "user": "u", "password": "a secret"}
    filler = {"filler": {"text": "x" * 800}}
    return json.dumps(CONFIG | {"broker": broker, "modules": filler} | more)


OLD, NEW, NEXT = _config(), _config(log={"level": "debug"}), _config(log={"level": "error"})
DEAD = _config("nobody")


def stories(desk: Desk) -> Iterator[Story]:
    """Make the stories: a new configuration that reaches the broker, with a secret left out; one
    that does not; going back by command; and one that finds NVS about to be compacted.
    """
    desk.flash.program(desk.table.slots[0].offset, Image.make(desk, "1.0", b"firmware").app)
    desk.run(settled)
    Sweep(desk).length(Story("", desk.flash.snapshot(), "push", OLD, (OLD,)))
    first = desk.flash.snapshot()
    masked = NEW.replace("a secret", "<secret broker.password>")
    good = Story("a good one", first, "push", masked, (OLD, NEW))
    yield good
    yield Story("one that does not reach the broker", first, "push", DEAD, (OLD,))
    Sweep(desk).length(good)
    second = desk.flash.snapshot()
    yield Story("the one before", second, "revert", "", (NEW, OLD))
    full = nearly_full(desk, second)
    yield Story("a good one, NVS nearly full", full, "push", NEXT, (NEW, NEXT))
    yield Story("a dead one, NVS nearly full", full, "push", DEAD, (NEW,))


def file_of(desk: Desk) -> str:
    """Return the board's configuration file, as it is in flash."""
    desk.end = None
    desk.files.mount()
    with desk.files.open("/config.json") as file:
        return file.read()


def kept_of(desk: Desk) -> str:
    """Return the last good configuration in NVS."""
    nvs = Nvs(desk.flash, desk.table.find_type(DATA, NVS))
    return nvs.get(b"mqboard", b"config", BLOB).decode()
