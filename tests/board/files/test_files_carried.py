"""Tests how the board gives and takes the bytes of files: get and put, whole or not at all."""

import asyncio
import json
import os
import unittest

from fakes import until
from filesbench import Bench, pattern, run

from mqboard.files import places, room
from mqwire import files as wire

SIZES = (0, 1, 4095, 4096, 4097, 8191, 8192, 8193, 20_000)


class GetTest(unittest.TestCase):
    def test_files_of_every_size_come_as_they_are(self):
        async def go():
            bench = Bench()
            for size in SIZES:
                bench.write("f%d" % size, pattern(size))
            found = await bench.get(*[["f%d" % size, 0, wire.MAX_CHUNK] for size in SIZES])
            for size, (data, said, _, _) in zip(SIZES, found):  # noqa: B905
                self.assertEqual((len(data), said), (size, size))
                self.assertEqual(data, pattern(size))

        run(go())

    def test_pieces_come_from_where_they_are_asked_for(self):
        async def go():
            bench = Bench()
            data = pattern(20_000)
            bench.write("f", data)
            found = await bench.get(
                ["f", 0, 5000], ["f", 5000, 15_000], ["f", 20_000, 10], ["f", 30_000, 10]
            )
            self.assertEqual([each[0] for each in found], [data[:5000], data[5000:], b"", b""])
            mtime = places.stat(bench.path("f"))[1]
            self.assertEqual({each[1:3] for each in found}, {(20_000, mtime)})

        run(go())

    def test_what_cannot_be_got_is_said_and_the_rest_comes(self):
        async def go():
            bench = Bench()
            bench.write("f", b"data")
            os.mkdir(bench.path("d"))
            found = await bench.get(
                ["none", 0, 9],
                ["d", 0, 9],
                ["f", 0, 99_999],
                ["f", -1, 5],
                "f",
                ["f", 0],
                ["f", 0, 9],
            )
            codes = ["ENOENT", "EISDIR"] + [wire.MALFORMED] * 4
            self.assertEqual([each[1] for each in found[:-1]], codes)
            self.assertEqual(found[-1][0], b"data")

        run(go())

    def test_a_file_that_was_just_written_is_not_called_steady(self):
        async def go():
            bench = Bench()
            bench.write("f", pattern(20_000))
            found = await bench.get(["f", 0, 20_000], ["f", 0, 4000])
            self.assertEqual([each[3] for each in found], [False, True])

        run(go())

    def test_a_file_that_changes_meanwhile_is_not_called_steady(self):
        async def go():
            bench = Bench()
            bench.write("f", pattern(20_000))
            publish = bench.router.publish

            async def change(topic, payload, qos=0):
                bench.router.publish = publish
                bench.write("f", pattern(20_001, 2))
                return await publish(topic, payload, qos)

            bench.router.publish = change
            found = await bench.get(["f", 0, 20_000])
            self.assertFalse(found[0][3])

        run(go())

    def test_the_first_tool_gets_a_whole_file(self):
        async def go():
            bench = Bench()
            os.mkdir(bench.path("lib"))
            for size in SIZES:
                bench.write("lib/f", pattern(size))
                ident = bench.ident()
                bench.tell("get", b"", ident, tail="lib/f")
                await bench.wait(ident)
                bench.none_missing(ident)
                parts = bench.replies(ident)
                self.assertEqual((b"".join(parts), parts[-1]), (pattern(size), b""))
                self.assertTrue(all(parts[:-1]))
            for path in ("none", "lib"):
                ident = bench.ident()
                bench.tell("get", b"", ident, tail=path)
                await bench.wait(ident)
                self.assertTrue(bench.errors(ident))

        run(go())


class PutTest(unittest.TestCase):
    def test_files_of_every_size_arrive_in_messages_of_every_size(self):
        async def go():
            bench = Bench()
            for size in SIZES:
                for step in (1000, 4096, 4350):
                    data = pattern(size, step)
                    outcome = await bench.put("f", data, step)
                    self.assertEqual(outcome["size"], size)
                    self.assertEqual(bench.read("f"), data)
            self.assertEqual(bench.names(), ["f"])

        run(go())

    def test_a_small_file_is_one_message_and_one_answer(self):
        async def go():
            bench = Bench()
            for data in (b"", b"small", pattern(4000)):
                ident = bench.ident()
                bench.tell("put", bench.head("f", data) + data, ident)
                await bench.wait(ident)
                self.assertEqual(len(bench.replies(ident)), 1)
                self.assertEqual(bench.read("f"), data)

        run(go())

    def test_who_writes_for_long_gives_others_a_turn(self):
        async def go():
            bench = Bench()
            data = pattern(9000)
            bench.tell("put", bench.head("f", data), "abcdefgh", 0, False)
            bench.files.puts._turned -= 1000
            self.assertTrue(bench.tell("put", data[:4500], "abcdefgh", 1, False))
            bench.files.puts._turned += 100_000
            self.assertFalse(bench.tell("put", data[4500:], "abcdefgh", 2))
            await bench.wait("abcdefgh")
            self.assertEqual(bench.read("f"), data)

        run(go())

    def test_what_is_there_stays_until_the_new_file_is_whole(self):
        async def go():
            bench = Bench()
            bench.write("f", b"old")
            data = pattern(9000)
            bench.tell("put", bench.head("f", data), "abcdefgh", 0, False)
            for sequence in (1, 2):
                bench.tell(
                    "put",
                    data[4000 * (sequence - 1) : 4000 * sequence],
                    "abcdefgh",
                    sequence,
                    False,
                )
                self.assertEqual(bench.read("f"), b"old")
            bench.tell("put", data[8000:], "abcdefgh", 3)
            await bench.wait("abcdefgh")
            self.assertEqual(bench.read("f"), data)

        run(go())

    def test_it_says_what_it_has_and_how_far_it_is(self):
        async def go():
            bench = Bench()
            outcome = await bench.put("f", pattern(100_000), ident="abcdefgh")
            said = [each.get("have") for each in bench.objects("abcdefgh")]
            self.assertEqual((said[0], said[-1]), (4096, None))
            self.assertEqual(said[:-1], sorted(said[:-1]))
            self.assertTrue(len(said) > 3)
            self.assertEqual(bench.objects("abcdefgh")[0]["credit"], wire.CREDIT)
            self.assertEqual(outcome["size"], 100_000)

        run(go())

    def test_it_goes_on_where_it_was_after_a_reset(self):
        async def go():
            bench = Bench()
            data = pattern(200_000)
            bench.tell("put", bench.head("f", data), "abcdefgh", 0, False)
            for sequence in range(1, 41):
                bench.tell(
                    "put",
                    data[4096 * (sequence - 1) : 4096 * sequence],
                    "abcdefgh",
                    sequence,
                    False,
                )
            bench.begin()
            bench.tell("put", bench.head("f", data, resume=True), "22222222", 0, False)
            await until(lambda: bench.objects("22222222"))
            have = bench.objects("22222222")[0]["have"]
            self.assertTrue(have >= 131_072, have)
            rest = data[have:]
            for sequence in range(1, 20):
                piece = rest[4096 * (sequence - 1) : 4096 * sequence]
                bench.tell("put", piece, "22222222", sequence, 4096 * sequence >= len(rest))
            await bench.wait("22222222")
            self.assertEqual(bench.read("f"), data)
            self.assertEqual(bench.names(), ["f"])

        run(go())

    def test_other_bytes_or_another_place_begin_anew(self):
        async def go():
            bench = Bench()
            data = pattern(20_000)
            bench.tell("put", bench.head("f", data), "abcdefgh", 0, False)
            bench.tell("put", data[:8000], "abcdefgh", 1, False)
            bench.files.puts.cancel("abcdefgh")
            await bench.wait("abcdefgh")
            for path, content, have in (
                ("g", data, 0),
                ("f", pattern(20_000, 2), 0),
                ("f", data, 8000),
            ):
                ident = bench.ident()
                bench.tell("put", bench.head(path, content, resume=True), ident, 0, False)
                await until(lambda ident=ident: bench.objects(ident))
                self.assertEqual(bench.objects(ident)[0]["have"], have)

        run(go())

    def test_wrong_bytes_are_refused_and_leave_nothing(self):
        async def go():
            bench = Bench()
            bench.write("f", b"old")
            head = bench.head("f", b"right")
            bench.tell("put", head + b"wrong", "abcdefgh")
            await bench.wait("abcdefgh")
            self.assertEqual(bench.objects("abcdefgh")[-1]["error"], wire.HASH)
            for data in (b"more than five", b"less"):
                ident = bench.ident()
                bench.tell("put", head + data, ident)
                await bench.wait(ident)
                self.assertEqual(bench.objects(ident)[-1]["error"], wire.MALFORMED)
            self.assertEqual((bench.read("f"), bench.names()), (b"old", ["f"]))

        run(go())

    def test_a_missing_part_is_said_once_and_what_came_before_is_kept(self):
        async def go():
            bench = Bench()
            data = pattern(20_000)
            bench.tell("put", bench.head("f", data), "abcdefgh", 0, False)
            bench.tell("put", data[:4000], "abcdefgh", 1, False)
            bench.tell("put", data[:4000], "abcdefgh", 1, False)  # a duplicate
            for sequence in (3, 4, 5):
                bench.tell("put", data[8000:12_000], "abcdefgh", sequence, False)
            await bench.wait("abcdefgh")
            bench.tell("put", data[8000:12_000], "abcdefgh", 6, False)
            await asyncio.sleep(0.01)
            errors = [each for each in bench.objects("abcdefgh") if "error" in each]
            self.assertEqual([(each["error"], each["part"]) for each in errors], [(wire.GAP, 2)])
            bench.tell("put", bench.head("f", data, resume=True), "22222222", 0, False)
            await until(lambda: bench.objects("22222222"))
            self.assertEqual(bench.objects("22222222")[0]["have"], 4000)

        run(go())

    def test_parts_of_an_unknown_file_are_answered_once(self):
        async def go():
            bench = Bench()
            for sequence in (7, 8, 9):
                bench.tell("put", b"data", "abcdefgh", sequence, False)
            await bench.wait("abcdefgh")
            bench.tell("put", b"data", "abcdefgh", 10)
            await asyncio.sleep(0.01)
            self.assertEqual([each["error"] for each in bench.objects("abcdefgh")], [wire.GAP])

        run(go())

    def test_heads_that_are_none_are_refused(self):
        async def go():
            good = {"path": "f", "size": 1, "sha256": "0" * 64}
            for wrong in (
                {"size": -1},
                {"size": "1"},
                {"sha256": 5},
                {"path": None},
                {"path": "a\0b"},
            ):
                bench = Bench()
                head = dict(good)
                head.update(wrong)
                bench.tell("put", wire.pack_head(json.dumps(head).encode()) + b"x", "abcdefgh")
                await bench.wait("abcdefgh")
                self.assertEqual(bench.objects("abcdefgh")[-1]["error"], wire.MALFORMED)
            for body in (b"", b"\0", b"\0\5{}", b"\0\2[]", b"\0\2{}", b"\0\1\xff"):
                bench = Bench()
                bench.tell("put", body, "abcdefgh")
                await bench.wait("abcdefgh")
                self.assertEqual(bench.objects("abcdefgh")[-1]["error"], wire.MALFORMED)
                self.assertEqual(bench.names(), [])

        run(go())

    def test_a_place_where_no_file_can_be_is_refused(self):
        async def go():
            bench = Bench()
            os.mkdir(bench.path("folder"))
            bench.write("file", b"old")
            for path, code in (
                ("folder", "EISDIR"),
                ("/", "EISDIR"),
                ("none/f", "ENOENT"),
                ("file/f", "ENOENT"),
                ("x" * 256, "ENAMETOOLONG"),
            ):
                outcome = await bench.put(path, b"data")
                self.assertTrue(outcome["error"] in (code, "ENOTDIR"), outcome)
            outcome = await bench.put("file/deep/f", b"data", parents=True)
            self.assertEqual(outcome["error"], "ENOTDIR")
            await bench.put("none/deep/f", b"data", parents=True)
            self.assertEqual(bench.read("none/deep/f"), b"data")
            self.assertEqual(bench.names(), ["file", "folder", "none"])

        run(go())

    def test_a_long_check_says_that_it_goes_on(self):
        async def go():
            bench = Bench()
            data = pattern(9000)
            bench.tell("put", bench.head("f", data), "abcdefgh", 0, False)
            bench.tell("put", data[:4500], "abcdefgh", 1, False)
            bench.tell("put", data[4500:], "abcdefgh", 2)
            bench.files.puts._puts[0]._touched -= 2_000
            await bench.wait("abcdefgh")
            said = bench.objects("abcdefgh")
            self.assertEqual([each.get("have") for each in said], [9000, None])
            self.assertEqual(bench.read("f"), data)

        run(go())

    def test_the_configuration_is_not_replaced_as_a_file(self):
        async def go():
            bench = Bench()
            bench.write("config.json", b"good")
            bench.write("other", b"other")
            for path in ("config.json", "/config.json", "a/../config.json"):
                outcome = await bench.put(path, b"bad")
                self.assertEqual(outcome["error"], wire.GUARDED)
                for command in ("mv", "cp"):
                    _, outcome = await bench.ask(command, **{"from": "other", "to": path})
                    self.assertEqual(outcome["error"], wire.GUARDED)
            bench.tell("put", b"bad", "abcdefgh", tail="config.json")
            await bench.wait("abcdefgh")
            self.assertTrue(bench.errors("abcdefgh"))
            self.assertEqual(bench.read("config.json"), b"good")
            self.assertEqual(bench.names(), ["config.json", "other"])

        run(go())

    def test_two_operators_put_one_path_each_whole_and_the_last_one_stays(self):
        async def go():
            bench = Bench()
            one, two = pattern(9000, 1), pattern(9000, 2)
            bench.tell("put", bench.head("f", one), "11111111", 0, False)
            bench.tell("put", bench.head("f", two), "22222222", 0, False)
            for start in (0, 4500):
                for ident, data in (("11111111", one), ("22222222", two)):
                    bench.tell("put", data[start : start + 4500], ident, 1 + (start > 0), start > 0)
            await bench.wait("11111111")
            await bench.wait("22222222")
            self.assertTrue(bench.read("f") in (one, two))
            self.assertEqual(bench.names(), ["f"])

        run(go())

    def test_the_same_file_from_two_is_one_after_the_other_but_a_sender_may_begin_anew(self):
        async def go():
            bench = Bench()
            data = pattern(9000)
            bench.tell("put", bench.head("f", data, token="me"), "11111111", 0, False)
            bench.tell("put", data[:4000], "11111111", 1, False)
            bench.tell("put", bench.head("f", data, token="you", resume=True), "22222222", 0, False)
            await bench.wait("22222222")
            self.assertEqual(bench.objects("22222222")[-1]["error"], "EBUSY")
            bench.tell("put", bench.head("f", data, token="me", resume=True), "33333333", 0, False)
            await bench.wait("11111111")
            self.assertEqual(bench.objects("11111111")[-1]["error"], wire.SUPERSEDED)
            await until(lambda: bench.objects("33333333"))
            self.assertEqual(bench.objects("33333333")[0]["have"], 4000)
            bench.tell("put", data[4000:], "33333333", 1)
            await bench.wait("33333333")
            self.assertEqual(bench.read("f"), data)

        run(go())

    def test_a_few_at_a_time_and_no_more(self):
        async def go():
            bench = Bench()
            for number in range(20):
                bench.tell("put", bench.head("f%d" % number, b"x"), "%08d" % number, 0, False)
            await until(lambda: bench.over("00000007"))
            self.assertEqual(bench.objects("00000007")[-1]["error"], "EBUSY")
            for number in range(4):
                bench.tell("put", b"x", "%08d" % number, 1)
                await bench.wait("%08d" % number)
            self.assertEqual(len(bench.names()), 4)
            await until(lambda: not bench.files.puts.busy())

        run(go())

    def test_without_room_it_is_refused_before_anything_is_written(self):
        async def go():
            bench = Bench()
            bench.write("f", b"old")
            bench.write(".put-0123456789abcdef", b"left behind")
            bench.tell(
                "put",
                wire.pack_head(
                    json.dumps({"path": "f", "size": 1 << 40, "sha256": "0" * 64}).encode()
                ),
                "abcdefgh",
                0,
                False,
            )
            await bench.wait("abcdefgh")
            outcome = bench.objects("abcdefgh")[-1]
            self.assertEqual(outcome["error"], "ENOSPC")
            self.assertTrue(outcome["need"] > outcome["free"] > 0)
            # What nobody goes on with made room, as far as there was any.
            self.assertEqual(bench.names(), ["f"])

        run(go())

    def test_a_filesystem_that_gets_full_is_an_error_and_the_unfinished_file_goes(self):
        class Full:
            def __init__(self, file):
                self._file = file

            def write(self, data):
                raise OSError(28)

            def close(self):
                self._file.close()

        async def go():
            bench = Bench()
            bench.write("f", b"old")
            data = pattern(9000)
            bench.tell("put", bench.head("f", data), "abcdefgh", 0, False)
            bench.tell("put", data[:4000], "abcdefgh", 1, False)
            put = bench.files.puts._puts[0]
            put._file = Full(put._file)
            bench.tell("put", data[4000:8000], "abcdefgh", 2, False)
            bench.tell("put", data[8000:], "abcdefgh", 3)
            await bench.wait("abcdefgh")
            self.assertEqual(bench.objects("abcdefgh")[-1]["error"], "ENOSPC")
            self.assertEqual((bench.read("f"), bench.names()), (b"old", ["f"]))

        run(go())

    def test_unfinished_files_that_nobody_goes_on_with_are_cleared_away(self):
        async def go():
            bench = Bench()
            for number in range(5):
                bench.write(".put-%016d" % number, b"left")
            await bench.put("f", b"data")
            self.assertEqual(len(bench.names()), 3)
            self.assertEqual(room.clear(bench.root, [], 0), 2)
            self.assertEqual(bench.names(), ["f"])

        run(go())

    def test_a_file_that_gets_no_more_bytes_is_given_up(self):
        async def go():
            bench = Bench()
            bench.tell("put", bench.head("f", pattern(9000)), "abcdefgh", 0, False)
            await until(lambda: bench.objects("abcdefgh"))
            put = bench.files.puts._puts[0]
            bench.files.look()
            self.assertTrue(bench.files.puts.busy())
            put._touched -= 61_000
            bench.files.look()
            await bench.wait("abcdefgh")
            self.assertEqual(bench.objects("abcdefgh")[-1]["error"], wire.ABANDONED)
            await until(lambda: not bench.files.puts.busy())

        run(go())

    def test_the_first_tool_puts_twenty_messages_without_waiting(self):
        async def go():
            bench = Bench()
            bench.write("f", b"old")
            data = pattern(200_000)
            step = 4000
            count = (len(data) + step - 1) // step
            for sequence in range(count):
                part = data[step * sequence : step * (sequence + 1)]
                bench.tell("put", part, "abcdefgh", sequence, sequence == count - 1, tail="f")
                if sequence < count - 1:
                    self.assertEqual(bench.read("f"), b"old")
            await bench.wait("abcdefgh")
            self.assertEqual(bench.replies("abcdefgh"), [b"OK"])
            self.assertEqual((bench.read("f"), bench.names()), (data, ["f"]))

        run(go())

    def test_the_first_tool_hears_of_errors_in_words(self):
        async def go():
            bench = Bench()
            bench.write("f", b"old")
            for sequence, path in ((0, "none/f"), (0, "../.."), (1, "f")):
                ident = bench.ident()
                bench.tell("put", b"data", ident, sequence, True, tail=path)
                await bench.wait(ident)
                self.assertEqual(len(bench.errors(ident)), 1)
            self.assertEqual(bench.read("f"), b"old")

        run(go())


if __name__ == "__main__":
    unittest.main()
