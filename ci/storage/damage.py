"""Damages an image of the board's filesystem in the ways that flash, power and people do.

Each case depends on its number only, so that one that fails can be run again. Most damage is
blind: bytes, blocks erased, swapped, half written. What littlefs itself would never notice, because
its checksums are right, is forged: pointers of folders and files lead anywhere, also in circles.
"""

import struct
import zlib
from collections.abc import Callable, Iterator
from random import Random

from mqhost.flash.filesystem import BLOCK, make_filesystem

# Types of littlefs 2's tags (lfs.h); a pointer is two block numbers, or a block and a size.
_POINTERS = {0x200, 0x202, 0x600, 0x601}  # folder, file of blocks, soft and hard tail
_STATE = 0x7FF  # what a move under way has changed: xor of all there are
_CHECKSUM = 0x500
_VALID = 0x80000000  # set in a tag that is none: there is no more in this block
_HEAD = 4  # the revision count, before the first tag


def damaged(image: bytes, older: bytes, case: int) -> tuple[str, bytes]:
    """Return (what was done, the result) for this case of damage to `image`; `older` is what the
    same filesystem was once, of which writes may have got lost."""
    random = Random(case)
    name, damage = KINDS[case % len(KINDS)]
    data = bytearray(image)
    for _ in range(1 + int(random.expovariate(1))):
        data = damage(data, older, random) or data
    return name, bytes(data)


def _bytes(data: bytearray, _: bytes, random: Random) -> None:
    for _ in range(random.choice((1, 1, 4, 64))):
        data[_place(data, random)] ^= 1 << random.randrange(8)


def _erased(data: bytearray, _: bytes, random: Random) -> None:
    for _ in range(random.choice((1, 1, 3, 30))):
        _put(data, _used(data, random), random.choice((b"\xff", b"\xff", b"\0")) * BLOCK)


def _swapped(data: bytearray, _: bytes, random: Random) -> None:
    one, other = _used(data, random), _used(data, random)
    first, second = _block(data, one), _block(data, other)
    _put(data, one, second)
    if random.random() < 0.7:
        _put(data, other, first)


def _half(data: bytearray, _: bytes, random: Random) -> None:
    block = _used(data, random)
    size = random.randrange(BLOCK)
    rest = random.choice((bytes((0xFF,)) * (BLOCK - size), random.randbytes(BLOCK - size)))
    _put(data, block, _block(data, block)[:size] + rest)


def _superblock(data: bytearray, _: bytes, random: Random) -> None:
    blocks = random.choice(((0,), (1,), (0, 1), (0, 1)))
    for block in blocks:
        _put(data, block, random.choice((b"\xff" * BLOCK, bytes(BLOCK), random.randbytes(BLOCK))))


def _garbage(data: bytearray, _: bytes, random: Random) -> None:
    size = random.choice((BLOCK, 4 * BLOCK, len(data)))
    start = random.choice((0, random.randrange(len(data) - size + 1)))
    data[start : start + size] = random.randbytes(size)


def _lost_writes(data: bytearray, older: bytes, random: Random) -> None:
    share = random.random()
    for block in range(len(data) // BLOCK):
        if random.random() < share:
            _put(data, block, older[block * BLOCK : (block + 1) * BLOCK])


def _other_size(data: bytearray, _: bytes, random: Random) -> bytearray:
    size = random.choice((len(data) // 2, len(data) - BLOCK, 8 * BLOCK, 2 * len(data)))
    other = make_filesystem(size, {"/config.json": b"{}"})
    return bytearray(other[: len(data)].ljust(len(data), b"\xff"))


def _moved(data: bytearray, _: bytes, random: Random) -> bytearray:
    by = random.choice((BLOCK, -BLOCK, 2 * BLOCK, random.randrange(BLOCK)))
    return data[by:] + data[:by]


def _forged(data: bytearray, _: bytes, random: Random) -> None:
    """Change something in a folder and make its checksums right again."""
    folders = [block for block in range(len(data) // BLOCK) if _is_folder(_block(data, block))]
    if not folders:
        return
    number = random.choice(folders)
    block = bytearray(_block(data, number))
    targets = [
        (kind, start, size)
        for kind, start, size in _tags(block)
        if size and (kind in _POINTERS or kind == _STATE or random.random() < 0.1)
    ]
    for kind, start, size in random.sample(targets, min(len(targets), random.choice((1, 2)))):
        for at in range(start, start + size - 3, 4):
            if kind != _CHECKSUM and random.random() < 0.7:
                struct.pack_into("<I", block, at, _number(len(data) // BLOCK, folders, random))
    if random.random() < 0.3:
        _retype(block, random)
    for start, total in list(_sums(block)):
        struct.pack_into("<I", block, start, total)
    _put(data, number, bytes(block))
    twin = number ^ 1  # the other block of the pair, as a rule, which may be the newer one
    if random.random() < 0.7 and twin in folders:
        _put(data, twin, bytes(block))


def _retype(block: bytearray, random: Random) -> None:
    """Change what a tag is, or whose. Each is kept as its difference to the tag before it."""
    places = [start - 4 for kind, start, _ in _tags(block) if kind & 0x700 != _CHECKSUM]
    index = random.randrange(len(places) - 1) if len(places) > 1 else 0
    change = 1 << random.randrange(10, 31)
    for at in places[index : index + 2]:
        tag = struct.unpack_from(">I", block, at)[0]
        struct.pack_into(">I", block, at, tag ^ change)


def _number(count: int, folders: list[int], random: Random) -> int:
    """Return a block's number, or something that is none."""
    kind = random.random()
    if kind < 0.6:
        return random.choice(folders)
    if kind < 0.8:
        return random.randrange(count)
    return random.choice((0, 1, count - 1, count, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF))


KINDS: tuple[tuple[str, Callable], ...] = (
    ("bytes", _bytes),
    ("blocks erased", _erased),
    ("blocks swapped", _swapped),
    ("half written", _half),
    ("superblock", _superblock),
    ("garbage", _garbage),
    ("lost writes", _lost_writes),
    ("another size", _other_size),
    ("moved", _moved),
    ("forged pointers", _forged),
    ("forged pointers", _forged),
    ("forged pointers", _forged),
)


def _tags(block: bytes | bytearray) -> Iterator[tuple[int, int, int]]:
    """Yield (type, where its data is, how much) of each tag in the block of a folder."""
    at, tag = _HEAD, 0xFFFFFFFF
    while at + 4 <= len(block):
        tag ^= struct.unpack_from(">I", block, at)[0]
        if tag & _VALID:
            return
        kind, size = tag >> 20, tag & 0x3FF
        size = 0 if size == 0x3FF else size  # a deletion
        yield kind, at + 4, size
        at += 4 + size
        if kind & 0x780 == _CHECKSUM:
            tag ^= (kind & 1) << 31


def _sums(block: bytes | bytearray) -> Iterator[tuple[int, int]]:
    """Yield (where it is, what it must be) of each checksum in the block of a folder."""
    begin = 0
    for kind, start, size in _tags(block):
        if kind & 0x780 == _CHECKSUM and size >= 4:
            yield start, zlib.crc32(block[begin:start]) ^ 0xFFFFFFFF
            begin = start + size


def _is_folder(block: bytes) -> bool:
    start, total = next(_sums(block), (0, None))
    return struct.unpack_from("<I", block, start)[0] == total


def _used(data: bytearray, random: Random) -> int:
    """Choose a block that holds something, most often one of the first ones."""
    for _ in range(50):
        block = int(random.random() ** 2 * (len(data) // BLOCK))
        if any(byte != 0xFF for byte in data[block * BLOCK : block * BLOCK + 64]):
            break
    return block


def _place(data: bytearray, random: Random) -> int:
    block = _used(data, random)
    within = random.choice((64, 512, BLOCK))
    return block * BLOCK + random.randrange(within)


def _block(data: bytes | bytearray, number: int) -> bytes:
    return bytes(data[number * BLOCK : (number + 1) * BLOCK])


def _put(data: bytearray, number: int, block: bytes) -> None:
    data[number * BLOCK : (number + 1) * BLOCK] = block
