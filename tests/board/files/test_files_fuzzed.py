"""Tests that every command about files, however wrong, is answered and leaves nothing under way."""

import asyncio
import json
import random
import unittest

from filesbench import COMMANDS, Bench, run

_PATHS = (
    "a",
    "b",
    "c/d",
    "a/b",
    "/",
    "..",
    "x" * 300,
    "config.json",
    "\u00e9 \u00fc",
    "a\0",
    "",
    None,
    1,
    [],
)
_VALUES = (None, True, False, 0, -1, 1 << 70, "", "a", "\0", [], [1], [["a", 0, 10]], {}, "\ud800")
_KEYS = (
    "path",
    "paths",
    "from",
    "to",
    "recursive",
    "force",
    "parents",
    "sha",
    "times",
    "files",
    "resume",
)
_ITEMS = (0, 5, 70_000, -1, 1 << 40, None, "x")
_COMMANDS = 150


def wish(chance, command):
    """Return what a command wishes: mostly what it understands, with odd values."""
    made = {key: chance.choice(_VALUES) for key in _KEYS if chance.random() < 0.3}
    path = lambda: chance.choice(_PATHS)  # noqa: E731
    if command == "ls":
        made["path"] = path()
    elif command in ("mv", "cp"):
        made["from"], made["to"] = path(), path()
    elif command == "get":
        made["files"] = [[path(), chance.choice(_ITEMS), chance.choice(_ITEMS)] for _ in range(2)]
    elif command == "put":
        made["path"] = path()
        made["size"] = chance.choice((0, 5, 10, -1, "x"))
        made["sha256"] = chance.choice(("0" * 64, "z", 5))
    else:
        made["paths"] = [path(), path()]
    return made


def body(chance, command):
    """Return the body of a command."""
    if chance.random() < 0.1:
        return bytes([chance.randrange(256) for _ in range(chance.randrange(30))])
    data = json.dumps(wish(chance, command)).encode()
    if command == "put":
        data = bytes((len(data) >> 8, len(data) & 255)) + data + bytes(chance.choice((0, 5, 10)))
    return data


async def _fuzz(seed, check):
    random.seed(seed)
    chance = random
    bench = Bench()
    idents = []
    for number in range(_COMMANDS):
        command = chance.choice(COMMANDS + ("put",) * 5)
        ident = bench.ident()
        tail = chance.choice(("", "", "", "", "a", "../x", "none/x"))
        first = body(chance, command)
        parts = chance.randrange(3)
        bench.tell(command, first, ident, 0, parts == 0, tail)
        for sequence in range(1, parts + 1):
            bench.tell(command, bytes(5), ident, sequence, sequence == parts, tail)
        idents.append(ident)
        for _ in range(chance.randrange(10)):
            await asyncio.sleep(0)
        if number % 20 == 0:
            bench.files.cancel(ident)
            while not all([bench.over(each) for each in idents]):
                await asyncio.sleep(0.001)
    check(bench)


class FuzzTest(unittest.TestCase):
    def test_every_command_is_answered_and_nothing_stays_under_way(self):
        def check(bench):
            self.assertEqual(bench.log.lines, [])
            self.assertFalse([data for _, data in bench.sent if b"Traceback" in data])

        for seed in range(3):
            run(_fuzz(seed, check))


if __name__ == "__main__":
    unittest.main()
