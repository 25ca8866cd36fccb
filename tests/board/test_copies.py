"""Tests which certificates and keys have copies in NVS, and when these stand in for files."""

import os
import unittest

from fakes import FakeLog, FakeNvs, scratch

from mqboard import copies
from mqboard.health.bootrecord import Store

PEM = "-----BEGIN CERTIFICATE-----\n%s\n"


class Facts:
    """Has what it is given as attributes."""

    copies = False

    def __init__(self, **facts):
        for name in facts:
            setattr(self, name, facts[name])


class Bench:
    """Files, and a configuration that names them: `first` and `other` are keys of the brokers."""

    def __init__(self, first, other=None):
        self.folder = scratch()
        self.nvs = FakeNvs()
        copies.NVS = lambda namespace: self.nvs
        self.log = FakeLog()
        self.config = Facts(tls=True, **self.broker(first))
        self.config.fallback = other and dict(self.broker(other), tls=True)
        self.brokers = None
        if other:
            self.other = Facts(first=self.config, **self.config.fallback)
            self.brokers = Facts(fallen_back=False, pairs=((self.config, 0), (self.other, 0)))

    def broker(self, names):
        return {
            name: names.get(name) and self.folder + "/" + names[name]
            for name in ("ca", "cert", "key")
        }

    def write(self, name, text):
        with open(self.folder + "/" + name, "w") as file:
            file.write(text)

    def keep(self, fallen_back=False):
        """Settle, at the first broker or at the other; return what was logged."""
        self.log.lines.clear()
        if self.brokers:
            self.brokers.fallen_back = fallen_back
        copies.keep(self.config, self.brokers, Store(self.nvs), self.log)
        return self.log.lines


class CopiesTest(unittest.TestCase):
    def test_both_brokers_find_theirs_without_a_filesystem(self):
        bench = Bench({"ca": "a"}, {"ca": "b", "cert": "c", "key": "k"})
        for name in "abck":
            bench.write(name, PEM % name)
        self.assertEqual(bench.keep(), [])
        self.assertEqual(copies.sources(bench.config), [PEM % "a", None, None])
        self.assertEqual(copies.sources(bench.other), [PEM % "b", PEM % "c", PEM % "k"])

    def test_what_both_use_is_kept_once(self):
        bench = Bench({"ca": "a"}, {"ca": "a"})
        bench.write("a", PEM % "a")
        bench.keep()
        self.assertEqual(list(bench.nvs.blobs), ["ca"])
        self.assertEqual(copies.sources(bench.other), [PEM % "a", None, None])

    def test_a_broker_that_was_not_reached_proves_nothing(self):
        bench = Bench({"ca": "a"}, {"ca": "b"})
        bench.write("a", PEM % "a")
        bench.write("b", PEM % "b")
        bench.keep(fallen_back=True)
        self.assertEqual(list(bench.nvs.blobs), ["ca2"])
        bench.write("b", "damaged")
        bench.keep()
        self.assertEqual(copies.sources(bench.other)[0], PEM % "b")
        bench.write("b", PEM % "new")
        bench.keep(fallen_back=True)
        self.assertEqual(copies.sources(bench.other)[0], PEM % "new")
        bench.write("b", "damaged")
        bench.other.copies = True  # it was reached with the copy
        self.assertIn("reached with the copy", bench.keep(fallen_back=True)[0])
        self.assertEqual(copies.sources(bench.other)[0], PEM % "new")

    def test_a_copy_is_of_one_path_and_goes_with_it(self):
        bench = Bench({"ca": "a"}, {"ca": "b"})
        bench.write("a", PEM % "a")
        bench.write("b", PEM % "b")
        bench.keep()
        bench.config.fallback["ca"] = bench.other.ca = bench.folder + "/c"
        self.assertEqual(copies.sources(bench.other)[0], None)
        bench.write("c", PEM % "c")
        bench.keep()
        self.assertEqual(copies.sources(bench.other)[0], PEM % "c")
        bench.config.fallback = bench.brokers = None
        bench.keep()
        self.assertEqual(list(bench.nvs.blobs), ["ca"])

    def test_a_file_that_is_gone_is_written_back(self):
        bench = Bench({"ca": "a"}, {"ca": "b"})
        for name in "ab":
            bench.write(name, PEM % name)
        bench.keep()
        for name in "ab":
            os.remove(bench.folder + "/" + name)
        self.assertEqual(len(bench.keep()), 2)
        with open(bench.folder + "/b") as file:
            self.assertEqual(file.read(), PEM % "b")

    def test_what_is_too_large_is_said(self):
        bench = Bench({"ca": "a", "cert": "c", "key": "k"}, {"ca": "b"})
        for name, size in (("a", 4001), ("c", 2500), ("k", 2500), ("b", 1500)):
            bench.write(name, PEM % ("x" * (size - 29)))
        large = [bench.folder + "/a", bench.folder + "/b"]
        self.assertEqual(copies.unkept(bench.config), large)
        self.assertEqual(
            bench.keep(), ["%s cannot be kept in NVS: it is too large" % path for path in large]
        )
        self.assertEqual(sorted(bench.nvs.blobs), ["cert", "key"])
        bench.write("b", PEM % "small")
        self.assertEqual(copies.unkept(bench.config), large[:1])

    def test_a_full_nvs_is_said_and_stops_nothing(self):
        bench = Bench({"ca": "a"}, {"ca": "b"})
        for name in "ab":
            bench.write(name, PEM % name)
        bench.nvs.full = True
        self.assertEqual(len(bench.keep()), 2)
        self.assertIn("a cannot be kept in NVS: ", bench.log.lines[0])

    def test_what_stands_in_the_configuration_has_no_copy(self):
        bench = Bench({"ca": "a"})
        bench.config.ca = PEM % "here"
        bench.keep()
        self.assertEqual(bench.nvs.blobs, {})
        self.assertEqual(copies.sources(bench.config)[0], PEM % "here")


if __name__ == "__main__":
    unittest.main()
