"""Tests the console's ring of lines: cut, kept, published, and bounded."""

import asyncio
import unittest

from fakes import run, until

from mqboard.log import Console


class ConsoleTest(unittest.TestCase):
    def test_lines_are_cut_kept_and_published(self):
        async def go():
            console = Console()
            console.write(b"one\ntw")
            console.write(b"o\r\n\nthree")
            lines = []

            async def publish(line):
                lines.append(line)
                return True

            task = asyncio.create_task(console.run(publish))
            await until(lambda: len(lines) == 2)
            console.write(b"\n")
            await until(lambda: len(lines) == 3)
            self.assertEqual(lines, [b"one", b"two", b"three"])
            task.cancel()

        run(go())

    def test_a_full_ring_drops_the_oldest_and_says_how_many(self):
        async def go():
            console = Console()
            for number in range(200):
                console.write(b"%099d\n" % number)
            dropped = console.dropped
            self.assertTrue(dropped > 100)
            lines = []

            async def publish(line):
                lines.append(line)
                return True

            task = asyncio.create_task(console.run(publish))
            await until(lambda: lines and lines[-1] == b"%099d" % 199)
            self.assertEqual(lines[0], b"(%d log lines dropped)" % dropped)
            self.assertEqual(len(lines), 201 - dropped)
            task.cancel()

        run(go())

    def test_endless_lines_stay_bounded(self):
        console = Console()
        for _ in range(100):
            console.write(b"x" * 1000)
        self.assertTrue(len(console._part) <= 240)


if __name__ == "__main__":
    unittest.main()
