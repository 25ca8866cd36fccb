"""Attacks the update receiver: whatever arrives, it takes no wrong byte, and an update still works.

Each case boots a board on the desk (ci/desk), does hostile things to it, by chance but repeatably,
and then pushes a good image as an honest host does. What must hold:

  - no exception gets out of the on-board code, and nothing ends the board but an update;
  - every update request is answered with a code of mqwire.update;
  - a block that the board says it has is the offer's, to the byte, and an image that it installs;
  - the image that runs is not touched;
  - the good image gets installed in the end.
"""

import asyncio
import json
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ci.cuts.powercuts import Image, Push, settled
from ci.desk import PREFIX, Desk, Life, open_desk
from mqhost.progress import Progress, silent
from mqhost.signing.offer import block_of
from mqhost.update.blocks import Encoder, deflate
from mqhost.update.delta import Delta
from mqhost.update.failures import SENTENCES
from mqwire import MAX_PAYLOAD, blocks_topic, command_topic, error_topic, header, reply_topic
from mqwire import update as wire

_TOO_LONG = b"command is longer than"  # what the router says of more than 16 KiB
_PART = 4000  # bytes of a command in one message
_DEEP = 4000  # brackets
# What stands in the place of a field, or of all of the JSON.
_VALUES = (
    None, True, -1, 0, 1, 1.5, 4096, 2**31, 2**63, 10**30, 1e308, "", "x", "ff" * 32, "\0", "a/#",
    "\ud800", "\u0085", "ä" * 70, "A" * 5000, [], {}, [[]], {"a": 1}, ["x"] * 100, "=", "AAAA",
)  # fmt: skip
_TEXTS = (
    b"", b"{", b"}", b"[]", b"null", b"0", b'"', b"\xff\xfe", b"\xed\xa0\x80", b"{}x", b'{"a":}',
    b"1" * 4400, b"-" * 100, b"[" * _DEEP, b'{"a":' * _DEEP, b'{"format":' + b"[" * _DEEP,
    b'"\\ud800"', b'{"format": 1e999}', b"NaN", b"Infinity", b"\0" * 100, b'{"topic": NaN}',
)  # fmt: skip


@dataclass
class Faults:
    """How many cases there were, and a sentence for each in which something went wrong."""

    cases: int = 0
    wrong: list[str] = field(default_factory=list)


class Wrong(Exception):
    """Raised when the receiver did what it must not do. The text says what."""


def attack(
    folder: Path,
    cases: int,
    seed: int = 0,
    progress: Progress = silent,
) -> Faults:
    """Try `cases` cases; the same arguments make the same. `folder` is for the flash file."""
    return Attack(open_desk(folder / "faults.flash"), seed).run(cases, progress)


class Attack:
    """The cases of one `seed` against one desk board. Case n is the same whatever was before it."""

    def __init__(self, desk: Desk, seed: int = 0):
        self._desk = desk
        self._seed = seed
        chance = random.Random(seed)
        content = [chance.randbytes(64) * 64 if n % 2 else chance.randbytes(4096) for n in range(5)]
        self.old = Image.make(desk, "1.0", b"".join(content))
        content[3] = chance.randbytes(100) + content[3][100:]
        self.good = Image.make(desk, "5.0", b"".join(content))
        self.other = Image.make(desk, "5.1", b"".join(content[::-1]))
        self.forged = [_forge(chance, desk, self.good) for _ in range(300)]
        desk.flash.program(desk.table.slots[0].offset, self.old.app)
        desk.run(settled)
        self._start = desk.flash.snapshot()

    def run(self, cases: int, progress: Progress = silent) -> Faults:
        """Try the cases from 0 on."""
        result = Faults()
        for number in range(cases):
            progress("attacking the receiver", number, cases)
            result.cases += 1
            try:
                self.case(number)
            except Exception as error:
                text = f"{error!r}\n{self._desk.console.getvalue()[-1500:]}"
                text = text.encode(errors="backslashreplace").decode()
                result.wrong.append(f"seed {self._seed}, case {number}: {text}")
        return result

    def case(self, number: int) -> None:
        """Try one case; raises Wrong, or what the on-board code let out."""
        desk = self._desk
        desk.flash.restore(self._start)
        desk.power_on()
        desk.faults.clear()
        desk.installs.clear()
        chance = random.Random(f"{self._seed}/{number}")
        for boot in range(4):  # more than one when hostile moves install an image, as they may
            push = Push(self.good, self._base if number % 3 == 0 else lambda: None)
            script = _Script(chance, self, push)
            try:
                desk.run(script if boot < 3 else push)
            finally:
                self._check(script)
            if push.code in (wire.INSTALLED, wire.ALREADY_RUNNING):
                return
            if push.code >= 0:
                break
        raise Wrong(f"the good image is answered with code {push.code}")

    def _base(self) -> Image | None:
        """Return what an honest host takes for the base: the old image while it runs."""
        life = self._desk.life
        return self.old if life and life.board.identity.image == self.old.offer.sha256 else None

    def _check(self, script: "_Script") -> None:
        desk = self._desk
        if desk.faults:
            raise desk.faults[0]
        if self._was_running() not in (self.old.app, self.good.app, self.other.app):
            raise Wrong("the image that ran was written over")
        script.check_replies(desk.life.said)
        for address in desk.installs[-1:]:
            images = [image.app for image in (self.good, self.other)]
            if desk.flash.read(address, len(self.good.app)) not in images:
                raise Wrong("it installed what nobody offered")
        desk.installs.clear()

    def check_slot(self, image: Image, needed: bytes) -> None:
        """Raise Wrong unless all blocks of `image` but the `needed` ones are in the spare slot."""
        assert self._desk.life
        running = self._desk.life.board.identity.slot
        (spare,) = [slot for slot in self._desk.table.slots if slot.label != running]
        for number in range(image.offer.count):
            found = self._desk.flash.read(spare.offset + number * wire.BLOCK_SIZE, wire.BLOCK_SIZE)
            if not wire.bitmap_get(needed, number) and found != block_of(image.app, number):
                raise Wrong(f"block {number} is taken for one of {image.offer.version}")

    def _was_running(self) -> bytes:
        """Return the bytes of the image that ran in the last boot."""
        desk = self._desk
        app = self.good.app
        assert desk.life
        slot = desk.table.find(desk.life.board.identity.slot)
        return desk.flash.read(slot.offset, len(app))


class _Script:
    """Attacks the board in one case: does some hostile things, then an honest push."""

    def __init__(self, chance: random.Random, attack: Attack, push: Push):
        self.idents: dict[str, Image | None] = {}  # of the update requests, and what they offer
        self._chance = chance
        self._attack = attack
        self._push = push
        self._topic = blocks_topic(PREFIX, "00000000")

    async def __call__(self, life: Life) -> None:
        await settled(life)
        moves: list[Callable[[Life], None]] = [
            self._offer_forged,
            self._offer_damaged,
            self._offer_good,
            self._offer_good,
            self._send_blocks,
            self._send_blocks,
            self._send_blocks,
            self._send_garbage,
            self._cancel,
        ]
        for _ in range(self._chance.randrange(1, 9)):
            self._chance.choice(moves)(life)
            await asyncio.sleep(self._chance.choice((0, 0, 0, 0.01, 1, 4, 70)))
            self._look(life)
        # A sender that was silent for so long is forgotten; until then it is told `busy`.
        await asyncio.sleep(100)
        self._look(life)
        await asyncio.sleep(1)
        await self._push(life)

    def _look(self, life: Life) -> None:
        """Act as the board's timer, and look at what it takes for received."""
        receiver = life.board.receiver
        if receiver:
            if receiver._phase >= 2:  # it has compared its slot
                # What is forged and taken all the same is an offer of the good image.
                image = self.idents.get(receiver._request.ident) or self._attack.good
                self._attack.check_slot(image, receiver._writer.needed)
            receiver.look()

    def check_replies(self, said: list[tuple[str, bytes]]) -> None:
        """Raise Wrong unless every request was answered, with a code that there is."""
        for topic, payload in said:
            if len(payload) > MAX_PAYLOAD:
                raise Wrong(f"{topic}: {len(payload)} bytes")
            ident = topic.rpartition("/")[2]
            if topic == error_topic(PREFIX, ident) and ident in self.idents:
                if not payload.startswith(_TOO_LONG):
                    raise Wrong(f"an update is answered with an error: {payload!r}")
                del self.idents[ident]
            replied = topic == reply_topic(PREFIX, ident) and ident in self.idents
            if replied and wire.unpack_reply(payload[2:])[0] not in SENTENCES:
                raise Wrong(f"code {payload[2]}")
        answered = {topic for topic, _ in said}
        for ident, image in self.idents.items():
            # The same offer, sent again before the board could answer, is answered once.
            again = image and list(self.idents.values()).count(image) > 1
            if reply_topic(PREFIX, ident) not in answered and not again:
                raise Wrong(f"request {ident} is not answered")
        self.idents.clear()

    # The moves.

    def _offer_forged(self, life: Life) -> None:
        """Offer what is rightly signed, and nonsense."""
        self._request(life, self._chance.choice(self._attack.forged))

    def _offer_damaged(self, life: Life) -> None:
        """Offer a good request, damaged on its way."""
        self._request(life, self._damaged(self._image().request()))

    def _offer_good(self, life: Life) -> None:
        """Offer a good request; the other image's, too, and with options of all kinds."""
        options = {}
        if self._chance.random() < 0.5:
            options["topic"] = blocks_topic(PREFIX, f"{self._chance.randrange(3):08}")
            self._topic = options["topic"]
        if self._chance.random() < 0.3:
            options["base"] = self._attack.old.offer.sha256
        if self._chance.random() < 0.2:
            options[self._chance.choice(("topic", "base", "retry_failed"))] = self._chance.choice(
                _VALUES
            )
        image = self._image()
        self._request(life, image.request(**options), image)

    def _send_blocks(self, life: Life) -> None:
        """Send an image's messages, some missing, twice, in disorder, or damaged."""
        image = self._image()
        delta = Delta(self._attack.old.app, image.app) if self._chance.random() < 0.3 else None
        messages = [m for m, _ in Encoder(image.app, delta).messages(range(image.offer.count))]
        for _ in range(self._chance.randrange(4)):
            index = self._chance.randrange(len(messages))
            move = self._chance.randrange(5)
            if move == 0:
                messages.pop(index)
            elif move == 1:
                messages.insert(self._chance.randrange(len(messages)), messages[index])
            elif move == 2:
                self._chance.shuffle(messages)
            else:
                messages[index] = self._damaged(messages[index])
            if not messages:
                return
        for message in messages:
            life.tell(self._topic, message)

    def _send_garbage(self, life: Life) -> None:
        """Send messages of records with hostile numbers, and of nothing at all."""
        for _ in range(self._chance.randrange(1, 12)):
            life.tell(
                self._topic, b"".join(self._record() for _ in range(self._chance.choice((1, 1, 3))))
            )

    def _record(self) -> bytes:
        chance = self._chance
        number = chance.choice((0, 1, 2, 3, 4, 5, 6, 7, 8, 255, 4095, 65535))
        encoding = chance.choice((0, 1, 2, 2, 2, 3, 127, 255))
        data = chance.randbytes(chance.choice((0, 1, 2, 5, 100, 4095, 4096, 4097)))
        if encoding == wire.DELTA and chance.random() < 0.8:
            data = self._instructions()
        length = chance.choice((len(data),) * 5 + (0, 1, 65535))
        return struct.pack(">HBH", number, encoding, length) + data

    def _instructions(self) -> bytes:
        """Make a delta record's data: well compressed, and hostile."""
        chance = self._chance
        data = b""
        for _ in range(chance.randrange(1, 5)):
            length = chance.choice((0, 1, 40, 2048, 4095, 4096, 4097, 65535))
            patches = chance.choice((0, 0, 1, 2, 255, 4096, 65534, 65535))
            distance = chance.choice((0, 1, -1, 4096, -4096, 30_000, 2**31 - 1, -(2**31)))
            data += wire.pack_instruction(length, patches, distance) + chance.randbytes(
                chance.choice((0, 2, 200, 5000))
            )
        return bytes((chance.choice((0, 1, 1, 2, 5, 255)),)) + deflate(data)

    def _cancel(self, life: Life) -> None:
        """Send the command that ends a transfer."""
        life.tell(command_topic(PREFIX, "cancel", self._ident()), header(0, True))

    # Their parts.

    def _image(self) -> Image:
        return self._chance.choice((self._attack.good, self._attack.good, self._attack.other))

    def _ident(self) -> str:
        return f"{self._chance.getrandbits(30):08x}"

    def _request(self, life: Life, body: bytes, image: Image | None = None) -> None:
        """Send an update request, in as many parts as it takes; it may be a good one of `image`."""
        ident = self._ident()
        self.idents[ident] = image
        if image and b'"topic"' not in body:
            self._topic = blocks_topic(PREFIX, ident)
        pieces = [body[n : n + _PART] for n in range(0, len(body), _PART)] or [b""]
        for number, piece in enumerate(pieces):
            last = number == len(pieces) - 1
            life.tell(command_topic(PREFIX, "update", ident), header(number, last) + piece)

    def _damaged(self, data: bytes) -> bytes:
        chance = self._chance
        if not data:
            return data
        where = chance.randrange(len(data))
        kind = chance.randrange(4)
        if kind == 0:
            return data[:where]
        if kind == 1:
            return (
                data[:where] + bytes((data[where] ^ 1 << chance.randrange(8),)) + data[where + 1 :]
            )
        if kind == 2:
            return data[:where] + chance.randbytes(min(8, len(data) - where)) + data[where + 8 :]
        return data[:where] + data[where + chance.randrange(1, 9) :]


def _forge(chance: random.Random, desk: Desk, image: Image) -> bytes:
    """Make a request whose offer is rightly signed and wrong in some way, or its options are."""
    offer = image.offer.to_bytes()
    kind = chance.randrange(6)
    options = b"{}"
    if kind < 3:
        fields = json.loads(offer)
        for name in chance.sample(sorted(fields), chance.choice((1, 1, 2))):
            if chance.random() < 0.2:
                del fields[name]
            else:
                # Half a surrogate pair cannot be encoded again on CPython, and on a board it can.
                fields[name] = chance.choice([value for value in _VALUES if value != "\ud800"])
        offer = json.dumps(fields, separators=(",", ":")).encode()
    elif kind == 3:
        offer = chance.choice(_TEXTS)
        if chance.random() < 0.5:  # with what makes the board look at the signature at all
            offer = image.offer.to_bytes()[: image.offer.to_bytes().index(b'"board"')] + offer
    elif kind == 4:
        options = chance.choice(_TEXTS)
    else:
        names = ("topic", "base", "retry_failed")
        options = json.dumps({chance.choice(names): chance.choice(_VALUES)}).encode()
    # As wire.pack_request, without its limit.
    parts = offer, desk.key.sign(offer), options
    return b"".join(struct.pack(">H", len(part)) + part for part in parts)
