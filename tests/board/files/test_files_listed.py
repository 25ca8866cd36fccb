"""Tests what the board says of its files, and how it changes them: ls, stat, rm, mkdir, mv, cp."""

import asyncio
import hashlib
import json
import os
import unittest

from filesbench import Bench, pattern, run

from mqboard.files.errors import Fault
from mqboard.files.places import normal, now
from mqwire.files import MALFORMED

NAMES = (
    "a b.py",
    'it\'s "quoted"',
    "küche 灯.txt",
    ".hidden",
    "x" * 255,
    "back\\slash",
    "+#",
    "n\nl",
)


class PlaceTest(unittest.TestCase):
    def test_every_path_is_within_the_filesystem(self):
        for path, place in (
            ("", "/"),
            ("/", "/"),
            (".", "/"),
            ("a", "/a"),
            ("//a//b/", "/a/b"),
            ("..", "/"),
            ("../../etc/passwd", "/etc/passwd"),
            ("/a/../../b", "/b"),
            ("a/./b/..", "/a"),
            ("...", "/..."),
            ("/\ud7ff/\ue000", "/\ud7ff/\ue000"),
        ):
            self.assertEqual(normal(path), place)

    def test_a_path_that_can_be_none_is_refused(self):
        for path, code in (
            ("a\0b", MALFORMED),
            (None, MALFORMED),
            (7, MALFORMED),
            ("a/\ud800", MALFORMED),
            ("\udfffb", MALFORMED),
            ("a/" + "x" * 256, "ENAMETOOLONG"),
            ("ü" * 128, "ENAMETOOLONG"),
        ):
            with self.assertRaises(Fault) as caught:
                normal(path)
            self.assertEqual(caught.exception.code, code)


class ListingTest(unittest.TestCase):
    def test_a_folder_is_listed_with_sizes(self):
        async def go():
            bench = Bench()
            bench.write("a.py", b"123")
            os.mkdir(bench.path("lib"))
            bench.write("lib/b.py", b"1")
            entries, outcome = await bench.ask("ls", path="/")
            self.assertEqual(sorted(entries), [["a.py", 3], ["lib", None]])
            self.assertEqual(outcome, {"done": 2})
            entries, _ = await bench.ask("ls", path="lib")
            self.assertEqual(entries, [["b.py", 1]])
            entries, _ = await bench.ask("ls", path="/lib/b.py")
            self.assertEqual(entries, [["b.py", 1]])

        run(go())

    def test_folders_are_listed_with_what_is_in_them_and_hashes(self):
        async def go():
            bench = Bench()
            data = pattern(9000)
            os.mkdir(bench.path("lib"))
            os.mkdir(bench.path("lib/deep"))
            bench.write("lib/deep/b.bin", data)
            bench.write("empty")
            entries, _ = await bench.ask("ls", path="/", recursive=True, sha=True)
            found = {entry[0]: entry[1:] for entry in entries}
            self.assertEqual(set(found), {"lib", "lib/deep", "lib/deep/b.bin", "empty"})
            self.assertEqual(found["lib/deep/b.bin"][0], 9000)
            self.assertEqual(found["lib/deep/b.bin"][2], hashlib.sha256(data).digest().hex())
            self.assertEqual(found["empty"][2], hashlib.sha256(b"").digest().hex())
            self.assertEqual(len(found["lib"]), 2)
            self.assertEqual(found["empty"][1], None)  # nobody asked for it, and it takes time
            entries, _ = await bench.ask("ls", path="/", times=True, sha=True)
            found = {entry[0]: entry[1:] for entry in entries}
            self.assertTrue(-5 < now() - found["empty"][1] < 60)
            self.assertEqual(found["empty"][2], hashlib.sha256(b"").digest().hex())

        run(go())

    def test_names_of_every_kind_are_listed_as_they_are(self):
        async def go():
            bench = Bench()
            for name in NAMES:
                bench.write(name, name.encode())
            entries, _ = await bench.ask("ls", path="")
            self.assertEqual(sorted([entry[0] for entry in entries]), sorted(NAMES))
            entries, _ = await bench.ask("stat", paths=list(NAMES))
            self.assertEqual(
                [entry[:2] for entry in entries], [[n, len(n.encode())] for n in NAMES]
            )

        run(go())

    def test_unfinished_files_are_not_shown(self):
        async def go():
            bench = Bench()
            bench.write(".put-0123456789abcdef", b"half")
            bench.write(".put-other", b"whole")
            entries, _ = await bench.ask("ls", path="/", recursive=True)
            self.assertEqual(entries, [[".put-other", 5]])

        run(go())

    def test_many_files_come_in_many_messages(self):
        async def go():
            bench = Bench()
            for number in range(200):
                bench.write("module%03d.py" % number)
            entries, outcome = await bench.ask("ls", path="/")
            self.assertEqual(len(entries), 200)
            self.assertEqual(outcome, {"done": 200})
            self.assertTrue(all([len(payload) < 4352 for _, payload in bench.sent]))
            self.assertTrue(len(bench.sent) > 1)

        run(go())

    def test_what_is_not_there_is_an_error_or_said(self):
        async def go():
            bench = Bench()
            bench.write("file")
            _, outcome = await bench.ask("ls", path="/nowhere")
            self.assertEqual(outcome["error"], "ENOENT")
            self.assertEqual(outcome["path"], "/nowhere")
            entries, _ = await bench.ask("stat", paths=["/nowhere", "/file/in", "/"])
            self.assertEqual(
                [entry[:2] for entry in entries], [["/nowhere", -1], ["/file/in", -1], ["/", None]]
            )

        run(go())

    def test_a_wish_that_is_none_is_refused(self):
        async def go():
            for body in (b"", b"[]", b"{", b"\xff", b"{}", b'{"path": 1}', b"null"):
                bench = Bench()
                bench.tell("ls", body, "abcdefgh")
                await bench.wait("abcdefgh")
                self.assertEqual(bench.objects("abcdefgh")[-1]["error"], MALFORMED)

        run(go())

    def test_the_filesystem_tells_how_full_it_is(self):
        async def go():
            entries, _ = await Bench().ask("df")
            self.assertEqual(entries[-1][0], "/")
            self.assertTrue(0 < entries[-1][2] < entries[-1][1])

        run(go())

    def test_a_long_command_is_cancelled_and_the_next_one_is_answered(self):
        async def go():
            bench = Bench()
            for number in range(50):
                bench.write("%d" % number, b"x" * 100)
            bench.tell("ls", json.dumps({"path": "/", "sha": True}).encode(), "abcdefgh")
            while not bench.files.work:
                await asyncio.sleep(0)
            self.assertTrue(bench.files.cancel("abcdefgh"))
            await bench.wait("abcdefgh")
            self.assertEqual(bench.objects("abcdefgh")[-1]["error"], "cancelled")
            self.assertFalse(bench.files.cancel("abcdefgh"))
            _, outcome = await bench.ask("ls", path="/")
            self.assertEqual(outcome, {"done": 50})

        run(go())


class ChangesTest(unittest.TestCase):
    def test_files_and_trees_are_removed(self):
        async def go():
            bench = Bench()
            os.mkdir(bench.path("tree"))
            os.mkdir(bench.path("tree/deep"))
            os.mkdir(bench.path("tree/empty"))
            for number in range(40):
                bench.write("tree/%d" % number)
                bench.write("tree/deep/%d" % number)
            bench.write("file")
            _, outcome = await bench.ask("rm", paths=["/tree"])
            self.assertEqual(outcome["error"], "EISDIR")
            _, outcome = await bench.ask("rm", paths=["file", "/tree"], recursive=True)
            self.assertEqual(outcome, {"done": 84})
            self.assertEqual(bench.names(), [])

        run(go())

    def test_removing_stops_at_the_first_fault_and_says_how_far_it_came(self):
        async def go():
            bench = Bench()
            bench.write("a")
            bench.write("c")
            _, outcome = await bench.ask("rm", paths=["a", "b", "c"])
            self.assertEqual(
                (outcome["error"], outcome["path"], outcome["done"]), ("ENOENT", "b", 1)
            )
            _, outcome = await bench.ask("rm", paths=["b", "c"], force=True)
            self.assertEqual(outcome, {"done": 1})
            self.assertEqual(bench.names(), [])

        run(go())

    def test_the_root_folder_stays(self):
        async def go():
            bench = Bench()
            bench.write("a")
            for command, more in (("rm", {"recursive": True}), ("rmdir", {})):
                for path in ("/", "", "..", "a/.."):
                    _, outcome = await bench.ask(command, paths=[path], **more)
                    self.assertEqual(outcome["error"], "EBUSY")
            _, outcome = await bench.ask("mv", **{"from": "/", "to": "/b"})
            self.assertEqual(outcome["error"], "EINVAL")
            self.assertEqual(bench.names(), ["a"])

        run(go())

    def test_folders_are_made_and_removed(self):
        async def go():
            bench = Bench()
            _, outcome = await bench.ask("mkdir", paths=["a/b/c"])
            self.assertEqual(outcome["error"], "ENOENT")
            _, outcome = await bench.ask("mkdir", paths=["a/b/c", "a/b", "/"], parents=True)
            self.assertEqual(outcome, {"done": 3})
            _, outcome = await bench.ask("mkdir", paths=["a"])
            self.assertEqual(outcome["error"], "EEXIST")
            bench.write("a/file")
            _, outcome = await bench.ask("mkdir", paths=["a/file/b"], parents=True)
            self.assertEqual((outcome["error"], outcome["path"]), ("ENOTDIR", "/a/file"))
            _, outcome = await bench.ask("rmdir", paths=["a/b/c", "a/b"])
            self.assertEqual(outcome, {"done": 2})
            for path, code in (("a", "ENOTEMPTY"), ("a/file", "ENOTDIR"), ("b", "ENOENT")):
                _, outcome = await bench.ask("rmdir", paths=[path])
                self.assertEqual((outcome["error"], outcome["path"]), (code, path))

        run(go())

    def test_touched_files_are_there_and_keep_what_is_in_them(self):
        async def go():
            bench = Bench()
            bench.write("old", b"kept")
            _, outcome = await bench.ask("touch", paths=["old", "new"])
            self.assertEqual(outcome, {"done": 2})
            self.assertEqual((bench.read("old"), bench.read("new")), (b"kept", b""))
            _, outcome = await bench.ask("touch", paths=["/"])
            self.assertEqual(outcome["error"], "EISDIR")

        run(go())

    def test_files_and_folders_move(self):
        async def go():
            bench = Bench()
            os.mkdir(bench.path("a"))
            bench.write("a/x", b"new")
            bench.write("y", b"old")
            for source, target in (("a/x", "y"), ("a", "b"), ("y", "b/y"), ("b/y", "b/y")):
                _, outcome = await bench.ask("mv", **{"from": source, "to": target})
                self.assertEqual(outcome, {"done": 1})
            self.assertEqual(bench.read("b/y"), b"new")
            for source, target, codes in (
                ("none", "c", ("ENOENT",)),
                ("b/y", "none/c", ("ENOENT",)),
                ("b", "b/inside", ("EINVAL",)),
                ("b/y", "b", ("EISDIR", "ENOTEMPTY")),
            ):
                _, outcome = await bench.ask("mv", **{"from": source, "to": target})
                self.assertTrue(outcome["error"] in codes)
            self.assertEqual((bench.names(), bench.names("b")), (["b"], ["y"]))

        run(go())

    def test_files_and_trees_are_copied(self):
        async def go():
            bench = Bench()
            data = pattern(10_000)
            os.mkdir(bench.path("a"))
            os.mkdir(bench.path("a/deep"))
            bench.write("a/deep/x", data)
            bench.write("a/y", b"y")
            bench.write("z", b"old")
            self.assertEqual((await bench.ask("cp", **{"from": "a/y", "to": "z"}))[1], {"done": 1})
            self.assertEqual(bench.read("z"), b"y")
            _, outcome = await bench.ask("cp", **{"from": "a", "to": "b"})
            self.assertEqual(outcome["error"], "EISDIR")
            _, outcome = await bench.ask("cp", recursive=True, **{"from": "a", "to": "b"})
            self.assertEqual(outcome, {"done": 2})
            self.assertEqual(bench.read("b/deep/x"), data)
            _, outcome = await bench.ask("cp", recursive=True, **{"from": "a", "to": "a/deep/in"})
            self.assertEqual(outcome["error"], "EINVAL")
            _, outcome = await bench.ask("cp", **{"from": "a/y", "to": "b"})
            self.assertEqual(outcome["error"], "EISDIR")
            self.assertEqual(bench.names(), ["a", "b", "z"])

        run(go())


if __name__ == "__main__":
    unittest.main()
