"""Cuts power at any moment of an update, and checks that the board boots the old image or the new.

A `Story` is an update from its first boot to its end, told to a board on the desk (ci/desk.py).
It is told once to count the flash operations; then once for each of them with power lost there,
and each time power comes back the board must

  - boot, and boot the old image or the new one, complete to the byte,
  - settle with one of them, and report nothing failed in the end,
  - keep its last good configuration,
  - take the update, sent again, and confirm it.

Power also goes a second time, while the board recovers from the first.
"""

import asyncio
import functools
import itertools
import json
import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ci.desk import PREFIX, Desk, Life, open_desk, seq_of
from mqhost.flash.espimage import build_app_image
from mqhost.flash.partition import DATA, NVS
from mqhost.progress import Progress, silent
from mqhost.signing.offer import Offer
from mqhost.sim.bootloader import Choice, NothingBootable
from mqhost.sim.flash import PowerLost
from mqhost.sim.nvs import BLOB, Nvs
from mqhost.update.blocks import Encoder
from mqhost.update.delta import Delta
from mqwire import blocks_topic, command_topic, header
from mqwire import update as wire

# What the interrupted operation leaves: nothing done, its first half done, all done, any mixture.
TEARS = (0.0, 0.5, 1.0, "noise")
_MOST_BOOTS = 8


class Bricked(Exception):
    """Raised when the board did what it must never do. The text says what."""


@dataclass(frozen=True)
class Image:
    """An app image with its signed offer."""

    app: bytes
    offer: Offer

    @classmethod
    def make(cls, desk: Desk, version: str, content: bytes) -> "Image":
        """Make an image for `desk` that carries `content`; it need not be executable."""
        app = build_app_image(
            content, chip_id=0, project="desk", version=version, build_time=0, idf_version="desk"
        )
        facts = {"board": "sim", "mcu": "esp32", "version": version, "seq": seq_of(version)}
        offer = Offer.make(app, **facts, key=desk.key.public.id)
        return cls(app, offer.signed(desk.key.sign(offer.to_bytes())))

    def request(self, **options: object) -> bytes:
        """Return the body of the command that offers it."""
        choices = json.dumps(options).encode()
        return wire.pack_request(self.offer.to_bytes(), self.offer.signature, choices)


@dataclass(frozen=True)
class Story:
    """An update: `flash` as it is before, with `old` running; `new` is pushed, and if it `fails`
    rolled back. `repaired` is what is pushed after that; the same as `new` if it does not fail.
    With `delta` blocks travel as differences to what runs."""

    name: str
    flash: bytes
    old: Image
    new: Image
    repaired: Image
    fails: bool = False
    delta: bool = False


@dataclass
class Count:
    """How many cuts were made, and a sentence for each that went wrong."""

    cuts: int = 0
    bricks: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Cut:
    """Where power goes: before operation `at` (from 0) of `story` is complete; see TEARS.

    `again`: at that operation of the recovery power goes once more.
    """

    at: int
    tear: float | str
    again: int | None = None


def sweep(
    folder: Path,
    blocks: int = 8,
    cuts: int | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> Count:
    """Cut the power at every flash operation of every story, with images of `blocks` blocks.

    With `cuts` only at so many, by chance. `folder` is for the flash file. The same arguments make
    the same cuts.
    """
    desk = open_desk(folder / "powercuts.flash")
    told = list(stories(desk, blocks))
    chance = random.Random(seed)
    all_cuts = [(story, cut) for story in told for cut in _cuts(desk, story, chance)]
    return make(all_cuts, Sweep(desk, seed), cuts, chance, progress)


def make(all_cuts: list, sweeper, cuts: int | None, chance: random.Random, progress: Progress):
    """Have `sweeper` make all of the cuts, pairs of a story and a cut, or only so many of them, by
    chance; return its count.
    """
    chosen = all_cuts if cuts is None else chance.sample(all_cuts, min(cuts, len(all_cuts)))
    for done, (story, cut) in enumerate(chosen):
        progress("cutting power", done, len(chosen))
        sweeper.cut(story, cut)
    return sweeper.count


def _cuts(desk: Desk, story: Story, chance: random.Random) -> Iterator[Cut]:
    """Yield a cut at every operation with every tear, and two with another cut after it."""
    length = Sweep(desk).length(story)
    for at in range(length):
        yield from (Cut(at, tear) for tear in TEARS)
        yield Cut(at, 0.0, again=chance.randrange(length))
        yield Cut(at, "noise", again=chance.randrange(min(length, 12)))


class Push:
    """Plays the host: offers `image` and sends what the board asks for, as differences to `base()`
    if that is an image.
    """

    ident = "pushpush"

    def __init__(self, image: Image, base: Callable[[], Image | None]):
        self.image = image
        self.code = -1  # of the last reply
        self._base = base

    async def __call__(self, life: Life) -> None:
        """Push it to the settled board and wait for the board's last word."""
        await settled(life)
        base = self._base()
        encoder, options = Encoder(self.image.app), {}
        if base and base is not self.image:
            encoder = Encoder(self.image.app, _delta(base.app, self.image.app))
            options = {"base": base.offer.sha256}
        command = header(0, True) + self.image.request(**options)
        life.tell(command_topic(PREFIX, "update", self.ident), command)
        start, needed = 0, None
        while True:
            reply = await life.reply(self.ident, start)
            self.code, _, _, body = wire.unpack_reply(reply[2:])
            if reply[0] & 0x80:
                return
            if needed is None:
                needed = [n for n in range(self.image.offer.count) if wire.bitmap_get(body, n)]
                for payload, _ in encoder.messages(needed):
                    life.tell(blocks_topic(PREFIX, self.ident), payload)
            start = len(life.said)


@functools.cache
def _delta(base: bytes, app: bytes) -> Delta:
    return Delta(base, app)


class Sweep:
    """Tells stories to one desk board and cuts its power."""

    def __init__(self, desk: Desk, seed: int = 0):
        self.count = Count()
        self._desk = desk
        self._random = random.Random(seed)
        self._runs: Image | None = None
        self._known: tuple[Image, ...] = ()

    def length(self, story: Story) -> int:
        """Return how many flash operations a story has; raises Bricked if it does not end well."""
        self._begin(story)
        before = self._desk.flash.counters.operations
        self._tell(story)
        return self._desk.flash.counters.operations - before

    def cut(self, story: Story, cut: Cut) -> int:
        """Tell `story` with that cut, and count it; return the operations of the recovery."""
        try:
            return self._cut(story, cut)
        except (Bricked, NothingBootable, TimeoutError) as error:
            console = self._desk.console.getvalue()[-600:]
            self.count.bricks.append(f"{story.name}, {cut}: {error!r}\n{console}")
            return 0

    def _cut(self, story: Story, cut: Cut) -> int:
        self.count.cuts += 1
        self._begin(story)
        self._arm(cut.at, cut.tear)
        self._tell(story)
        if cut.again is not None:
            self._desk.power_on()
            self._arm(cut.again, cut.tear)
            self._recover(story)
        self._desk.power_on()
        before = self._desk.flash.counters.operations
        self._recover(story)
        self._check_end(story)
        return self._desk.flash.counters.operations - before

    def _begin(self, story: Story) -> None:
        self._desk.flash.restore(story.flash)
        self._desk.power_on()
        self._desk.faults.clear()
        self._known = (story.old, story.new, story.repaired)

    def _arm(self, operations: int, tear: float | str) -> None:
        flash = self._desk.flash
        flash.noise = self._random if tear == "noise" else None
        flash.cut_power_after(operations, 1.0 if isinstance(tear, str) else tear)

    def _tell(self, story: Story) -> None:
        """Play the story itself, until it is over or power is lost: update, trial, end."""
        self._desk.healthy = True
        if not self._boot(self._push(story, story.new)):
            return
        self._desk.healthy = not story.fails
        reset = self._boot(settled)
        self._desk.healthy = True
        if reset and story.fails:
            self._boot(settled)

    def _recover(self, story: Story) -> None:
        """Boot until power is lost, or the repaired image runs, confirmed, as it must."""
        self._desk.healthy = True
        for _ in range(_MOST_BOOTS):
            push = self._push(story, story.repaired)
            if not self._boot(push):
                if push.code == wire.ALREADY_RUNNING or isinstance(self._desk.end, PowerLost):
                    return
                raise Bricked(f"the update sent again is answered with code {push.code}")
        raise Bricked("the update sent again is never confirmed")

    def _push(self, story: Story, image: Image) -> Push:
        return Push(image, lambda: self._runs if story.delta else None)

    def _check_end(self, story: Story) -> None:
        """Raise Bricked unless the repaired image stays, over power cycles, and all is in order."""
        for _ in range(2):
            self._desk.power_on()
            self._boot(settled)
            facts = self._desk.life.board.identity.facts(None)
            if self._runs is not story.repaired or facts["slot_state"] != "valid":
                raise Bricked("the confirmed image does not stay")
            if facts["failed"] or facts["mode"] != "normal":
                raise Bricked(f"after all it says: failed {facts['failed']}, mode {facts['mode']}")

    def _boot(self, script: Callable[[Life], Awaitable[None]]) -> bool:
        """Boot once, with all that must hold in it; return True if the board reset itself."""
        reset = self._desk.run(script, self._look)
        if self._desk.faults:
            raise Bricked(f"on-board code let out {self._desk.faults[0]!r}")
        return reset

    def _look(self, choice: Choice) -> None:
        """Raise Bricked unless what boots is an image that was offered, to the byte."""
        slot = choice.slot
        for image in self._known:
            if self._desk.flash.read(slot.offset, len(image.app)) == image.app:
                self._runs = image
                return
        raise Bricked(f"{slot.label} boots with bytes that nobody offered")


def stories(desk: Desk, blocks: int) -> Iterator[Story]:
    """Make the stories that power is cut in, each with images of about `blocks` blocks.

    The first update of a new board, all of it; a small change in one that runs from its second
    slot, whose other slot is in use, in full and as differences; an image that fails, with another
    after it; and an update that finds NVS about to be compacted.
    """
    filler = random.Random(blocks)
    content = [filler.randbytes(128) * 32 for _ in range(blocks - 1)]
    content[::2] = [filler.randbytes(4096) for _ in content[::2]]  # which cannot be compressed
    first = Image.make(desk, "1.0", b"".join(content))
    content[1::3] = [filler.randbytes(40) + block[40:] for block in content[1::3]]
    second = Image.make(desk, "2.0", b"".join(content))
    content[::7] = [block[40:] + filler.randbytes(40) for block in content[::7]]
    third = Image.make(desk, "3.0", b"".join(content))
    fourth = Image.make(desk, "4.0", b"".join([*content[::-1], b"longer"]))

    flash = desk.flash
    desk.flash.program(desk.table.slots[0].offset, first.app)
    yield Story("the first update", flash.snapshot(), first, second, second)
    sweep = Sweep(desk)
    updated = Story("", flash.snapshot(), first, second, second)
    sweep.length(updated)
    later = flash.snapshot()
    yield Story("a full update", later, second, third, third)
    yield Story("a delta update", later, second, third, third, delta=True)
    yield Story("an update that fails", later, second, third, fourth, fails=True, delta=True)
    yield Story("an update that compacts NVS", nearly_full(desk, later), second, third, third)


def nearly_full(desk: Desk, flash: bytes) -> bytes:
    """Return that flash with room in NVS for a few more values only."""
    desk.flash.restore(flash)
    nvs = Nvs(desk.flash, desk.table.find_type(DATA, NVS))
    compacted = desk.flash.counters.erases
    snapshots: deque[bytes] = deque(maxlen=2)
    for number in itertools.count():
        if desk.flash.counters.erases > compacted:
            break
        snapshots.append(desk.flash.snapshot())
        nvs.set(b"other", b"key", BLOB, b"%100d" % number)
    return snapshots[0]


async def settled(life: Life) -> None:
    """Wait until the boot is settled, or resets."""
    while not life.board.settled:
        await asyncio.sleep(1)
