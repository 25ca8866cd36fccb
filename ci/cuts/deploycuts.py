"""Cuts the power at every flash operation of a deployment, from the first file to its confirmation.

    the running application, a new one -> sweep -> how often power went, and what was lost by it

On the desk (ci.desk), where files lie in a real LittleFS on the simulated flash. Whatever the cut,
the board must, once power is back,

  - come up with the old application or the new one, each of its files to the byte, and nothing
    else in its folder; or with none, if there was none,
  - settle, after going back by itself where the new one does not reach the broker,
  - stay so over power cycles, and take the next application.

Power also goes a second time, while the board recovers from the first.
"""

import asyncio
import base64
import contextlib
import hashlib
import itertools
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ci.cuts.desksweep import DeskSweep, in_time
from ci.cuts.powercuts import Bricked, Count, Image, nearly_full, settled
from ci.desk import PREFIX, Desk, Life, open_desk
from mqhost.link.exchange import split
from mqhost.progress import Progress, silent
from mqhost.signing.keys import SigningKey
from mqwire import app, command_topic

_MOST_OFFERS = 5
_RESTART_SECONDS = 10  # of board time, that a reset takes at most
_idents = itertools.count()  # of commands


@dataclass(frozen=True)
class App:
    """An application: its `files` by path, and its manifest."""

    files: dict[str, bytes]
    manifest: bytes

    @classmethod
    def make(cls, desk: Desk, seq: int, content: dict[str, bytes], **changes: object) -> "App":
        """Make one for `desk`; `changes` are keys of the manifest."""
        content = {path: content[path] for path in sorted(content, key=app.order)}
        rows = [
            [path, len(data), hashlib.sha256(data).hexdigest()] for path, data in content.items()
        ]
        record: dict[str, object] = {"format": 1, "key": desk.key.public.id, "kind": "app"}
        record |= {"name": "desk", "version": f"{seq}", "seq": seq, "committed": False}
        record |= {"modules": {}, "files": rows} | changes
        record["files"] = record.pop("files")  # the last one
        return cls(content, json.dumps(record, separators=(",", ":")).encode())

    @property
    def id(self) -> str:
        """Its id on the board."""
        return hashlib.sha256(self.manifest).hexdigest()[:16]

    def request(self, key: SigningKey | None, **options: object) -> bytes:
        """Return the body of the command that offers it, signed with `key`."""
        signature = base64.b64encode(key.sign(self.manifest) if key else b"").decode()
        return json.dumps({"id": self.id, "signature": signature} | options).encode()


@dataclass(frozen=True)
class Story:
    """A deployment: `flash` as it is before; `new` is deployed, or with None what was before the
    running one is gone back to; `ends` are the applications (None: none at all) that it may end
    with, the last one if power stays. `reaches`: the new one reaches the broker.
    """

    name: str
    flash: bytes
    new: App | None
    ends: tuple[App | None, ...]
    reaches: bool = True


@dataclass
class Deploy:
    """Plays the host: offers `app` to the settled board and sends what it asks for, until the board
    restarts; without one it asks the board to go back.
    """

    desk: Desk
    app: App | None
    options: dict = field(default_factory=dict)
    told: dict = field(default_factory=dict)  # what the board answered last

    async def __call__(self, life: Life) -> None:
        """Do that."""
        await in_time(life)
        for _ in range(_MOST_OFFERS):
            await self._ask(life)
            if not self.app or not self.told.keys() & {"folder", "manifest"}:
                break
            if "manifest" in self.told:
                put(self.desk, self.told["manifest"], self.app.manifest)
            for number in self.told.get("missing", ()):
                path = list(self.app.files)[number]
                put(self.desk, f"{self.told['folder']}/{path}", self.app.files[path])
        if "window_s" in self.told:
            await asyncio.sleep(_RESTART_SECONDS)

    async def _ask(self, life: Life) -> None:
        ident = f"{next(_idents):08x}"
        command, body = "apps", json.dumps({"rollback": True} | self.options).encode()
        if self.app:
            command, body = "deploy", self.app.request(self.desk.key, **self.options)
        start, data = len(life.said), b""
        for message in split(body):
            life.tell(command_topic(PREFIX, command, ident), message)
        while True:
            reply = await life.reply(ident, start)
            data += reply[2:]
            if reply[0] & 0x80:
                self.told = json.loads(data)
                return
            start = 1 + [payload for _, payload in life.said].index(reply)


class Sweep(DeskSweep):
    """Deploys to one desk board and cuts its power."""

    def _begin(self, story: Story) -> None:
        super()._begin(story)
        self._desk.lost_apps = {story.new.id} if story.new and not story.reaches else set()

    def _tell(self, story: Story) -> None:
        self._play(Deploy(self._desk, story.new))

    def _go_on(self) -> None:
        last = next_app(self._desk)
        self._play(Deploy(self._desk, last))
        self._check((last,))

    def _check(self, ends: tuple[App | None, ...]) -> None:
        """Raise Bricked unless the board of the last boot runs one of these, whole."""
        life = self._desk.life
        assert life
        told = life.board.identity.app
        folder = life.board.config.app
        running = next((end for end in ends if end and end.id == folder.rpartition("/")[2]), None)
        if not running:
            if folder or None not in ends:
                raise Bricked(f"the board runs {told}")
            return
        if told["state"] != "confirmed":
            raise Bricked(f"the application is not confirmed: {told}")
        found = files_of(self._desk, folder)
        if found != running.files:
            raise Bricked(f"its files are {sorted(found)}, not {sorted(running.files)}, or differ")


def put(desk: Desk, path: str, data: bytes) -> None:
    """Write a file on the board as the command `put` does: folders first, then it appears whole."""
    files = desk.files.os()
    for end in [place for place, letter in enumerate(path) if letter == "/" and place]:
        with contextlib.suppress(FileExistsError):
            files.mkdir(path[:end])
    with desk.files.open("/.put-0", "wb") as file:
        file.write(data)
    files.rename("/.put-0", path)


def files_of(desk: Desk, folder: str) -> dict[str, bytes]:
    """Return all files in a folder of the board, by their paths in it."""
    desk.end = None
    desk.files.mount()
    found = {}
    for path in desk.files.walk(folder):
        with desk.files.open(f"{folder}/{path}", "rb") as file:
            found[path] = file.read()
    return found


def sweep(
    folder: Path, cuts: int | None = None, seed: int = 0, progress: Progress = silent
) -> Count:
    """Make all the cuts there are, or `cuts` of them: see DeskSweep.run. `folder` is for the flash
    file.
    """
    desk = open_desk(folder / "deploycuts.flash")
    return Sweep(desk, seed).run(stories(desk), cuts, progress)


def _files(seed: int) -> dict[str, bytes]:
    """Return an application's files: some are the same in all of them, some are others in each."""
    own = random.Random(seed)
    return {
        "pump.py": b"# the same in all\n" * 20,
        "lib/driver.py": b"# %d\n" % seed + b"x = 1\n" * 200,
        "data/table.bin": own.randbytes(5000),
        f"only_{seed}.py": b"pass\n",
    }


def next_app(desk: Desk) -> App:
    """Return the application that a board must take after all."""
    return App.make(desk, 10, _files(10))


def stories(desk: Desk) -> Iterator[Story]:
    """Make the stories: the first application; another one; one that does not reach the broker;
    back to the one before; and one that finds NVS about to be compacted.
    """
    desk.flash.program(desk.table.slots[0].offset, Image.make(desk, "1.0", b"firmware").app)
    desk.run(settled)
    none = desk.flash.snapshot()
    old, new, dead = (App.make(desk, seq, _files(seq)) for seq in (1, 2, 3))
    first = Story("the first", none, old, (None, old))
    yield first
    yield Story("a first one that does not reach the broker", none, dead, (None,), reaches=False)
    Sweep(desk).length(first)
    runs_old = desk.flash.snapshot()
    second = Story("another one", runs_old, new, (old, new))
    yield second
    yield Story("one that does not reach the broker", runs_old, dead, (old,), reaches=False)
    Sweep(desk).length(second)
    runs_new = desk.flash.snapshot()
    yield Story("the one before", runs_new, None, (new, old))
    full = nearly_full(desk, runs_new)
    third = App.make(desk, 4, _files(4))
    yield Story("a third one, NVS nearly full", full, third, (new, third))
    yield Story("a dead one, NVS nearly full", full, dead, (new,), reaches=False)
