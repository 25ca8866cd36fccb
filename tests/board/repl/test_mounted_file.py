"""Tests a file of the host's folder: part by part, as far as it was allowed to come."""

import unittest

from mqboard.repl.mountedfile import File
from mqwire import mount as wire

PART = 4000


class Host:
    """Answers like a host; where nothing comes any more `wait` raises, as Mounted does."""

    def __init__(self, data, fault=0):
        self.data = data
        self.fault = fault
        self.questions = []
        self.on_the_way = []
        self.most = 0  # bytes that were on the way at once
        self.forgotten = False
        self._sent = 0

    def ask(self, file, question):
        self.questions.append(question)
        if self.fault:
            self.on_the_way.append((self.fault, wire.FAULT, b""))
            return
        stop = min(question["to"], len(self.data))
        while self._sent < stop or not self.data:
            part = self.data[self._sent : min(stop, self._sent + PART)]
            self.on_the_way.append((self._sent, len(self.data), memoryview(part)))
            self._sent += len(part)
            if not part:
                break
        self.most = max(self.most, sum([len(part) for _, _, part in self.on_the_way]))

    def wait(self, file):
        while not file.news():
            if not self.on_the_way:
                raise OSError(110)
            file.hear(*self.on_the_way.pop(0))

    def forget(self, file):
        self.forgotten = True


def opened(host):
    file = File(host, 7)
    file.begin("lamp.py")
    return file


class MountedFileTest(unittest.TestCase):
    def test_a_large_file_comes_whole_and_never_much_of_it_at_once(self):
        data = bytes([n % 251 for n in range(100_000)])
        host = Host(data)
        with opened(host) as file:
            self.assertEqual(file.read(10), data[:10])
            self.assertEqual(file.read(), data[10:])
            self.assertEqual(file.read(), b"")
        self.assertTrue(host.forgotten)
        self.assertEqual(host.questions[0], {"path": "lamp.py", "to": wire.WINDOW})
        self.assertTrue(host.most <= wire.WINDOW)

    def test_a_buffer_is_filled_whatever_parts_come_in(self):
        host = Host(bytes(PART + 100))
        file = opened(host)
        buffer = bytearray(PART - 10)
        self.assertEqual(file.readinto(buffer), PART - 10)
        self.assertEqual(file.readinto(buffer), 110)
        self.assertEqual(file.readinto(buffer), 0)

    def test_an_empty_file_ends_at_once(self):
        self.assertEqual(opened(Host(b"")).read(), b"")

    def test_what_comes_twice_is_taken_once(self):
        host = Host(b"abc")
        file = opened(host)
        file.hear(0, 3, b"abc")
        self.assertEqual(file.read(), b"abc")

    def test_what_there_is_not_raises_the_hosts_error(self):
        with self.assertRaises(OSError) as caught:
            opened(Host(b"", fault=13))
        self.assertEqual(caught.exception.args[0], 13)

    def test_a_part_that_there_is_no_memory_for_is_an_error_of_the_file(self):
        class Huge:
            def __len__(self):
                return 4000

            def __getitem__(self, place):
                raise MemoryError

        file = opened(Host(bytes(3 * PART)))
        file.hear(PART, 3 * PART, Huge())
        with self.assertRaises(OSError) as caught:
            file.read()
        self.assertEqual(caught.exception.args[0], 12)

    def test_silence_in_the_middle_raises(self):
        host = Host(bytes(3 * PART))
        file = opened(host)
        host.on_the_way.clear()
        with self.assertRaises(OSError) as caught:
            file.read()
        self.assertEqual(caught.exception.args[0], 110)


if __name__ == "__main__":
    unittest.main()
