"""Tests the records of boots that ended badly: what is in them, how many are kept, how often."""

import json
import os
import unittest

from fakes import FakeNvs, run, scratch

from mqboard.health import blackbox, crash, lastwords
from mqboard.health.bootrecord import Store


class Me:
    """The identity of the boot that makes the record."""

    image = "aa" * 32
    version = "2.0"
    reset_cause = "watchdog"
    failed = None


def left(**facts):
    """Return what a boot left."""
    words = lastwords.LastWords()
    words.known = True
    words.image = b"\xaa" * 8
    words.lines = "I 1 board: hello\n"
    for name in facts:
        setattr(words, name, facts[name])
    return words


class Bench:
    def __init__(self):
        self.folder = scratch() + "/crash"
        self.nvs = FakeNvs()
        self.me = Me()
        self.records = crash.Records(self.folder, Store(self.nvs))

    def note(self, **facts):
        return crash.note(left(**facts), self.me, self.records)

    def all(self):
        return [self.records.read(number) for number in self.records.numbers()]

    def full(self):
        """Have the filesystem take nothing more."""
        os.rename(self.folder, self.folder + ".gone") if self.records.numbers() else None
        with open(self.folder, "w") as file:
            file.write("a file where the folder would be")


class RecordTest(unittest.TestCase):
    def setUp(self):
        self.bench = Bench()

    def only(self, **facts):
        self.bench.note(**facts)
        (record,) = self.bench.all()
        return record

    def test_it_says_what_that_boot_was_and_did(self):
        record = self.only(
            running="module blink", uptime_s=3600, heap_free=1234, safe=True, lines="one\ntwo\n"
        )
        for key, value in (
            ("number", 1),
            ("times", 1),
            ("kind", "watchdog"),
            ("running", "module blink"),
            ("reset_cause", "watchdog"),
            ("uptime_s", 3600),
            ("heap_free", 1234),
            ("mode", "safe"),
            ("image", "aa" * 8),
            ("version", "2.0"),
            ("traceback", None),
            ("log", "one\ntwo\n"),
            ("published", False),
        ):
            self.assertEqual(record[key], value, key)

    def test_an_exception_and_a_reset_by_itself_are_told_apart(self):
        self.bench.me.reset_cause = "reset"
        self.bench.note(trace="Traceback\nValueError: boom\n")
        self.bench.note()
        self.assertEqual([it["kind"] for it in self.bench.all()], ["exception", "reset"])

    def test_an_exception_with_no_room_for_its_words_is_one(self):
        full = left(end=blackbox.FULL)
        self.assertTrue(full.crashed("reset"))
        self.bench.me.reset_cause = "reset"
        self.assertEqual(crash.describe(full, self.bench.me)["kind"], "exception")

    def test_an_image_that_was_rolled_back_is_named(self):
        self.bench.me.failed = {"image": "bb" * 32, "version": "3.0"}
        self.assertEqual(self.only(image=b"\xbb" * 8)["version"], "3.0")

    def test_of_an_image_that_nobody_knows_the_version_is_not_said(self):
        self.bench.me.failed = {}
        self.assertEqual(self.only(image=b"\xcc" * 8)["version"], None)
        self.assertEqual(crash.describe(left(image=b""), self.bench.me)["version"], None)

    def test_it_fits_into_a_message_whatever_is_in_it(self):
        nasty = '\x01\x02"\\' * 300
        self.bench.note(lines=nasty[:484], trace=nasty[:1024], running=nasty[:63])
        size = os.stat(self.bench.folder + "/1.json")[6]
        self.assertTrue(1000 < size <= 4000)
        (record,) = self.bench.all()
        self.assertTrue(nasty[:484].endswith(record["log"]))
        self.assertTrue(record["traceback"] and nasty[:1024].endswith(record["traceback"]))


class KeptTest(unittest.TestCase):
    def setUp(self):
        self.bench = Bench()

    def test_the_last_five_are_kept(self):
        for number in range(8):
            self.bench.note(running="module m%d" % number)
        names = [record["running"] for record in self.bench.all()]
        self.assertEqual(names, ["module m%d" % number for number in range(3, 8)])
        self.assertEqual(len(os.listdir(self.bench.folder)), 5)

    def test_the_same_crash_again_counts_and_tells_of_the_last_one(self):
        self.bench.note(running="eval aaaaaaaa while True: pass", uptime_s=300)
        self.bench.note(running="module other")
        self.bench.note(running="eval bbbbbbbb while True: pass", uptime_s=600)
        self.bench.note(running="eval cccccccc something else")
        facts = [(it["number"], it["times"], it["running"]) for it in self.bench.all()]
        self.assertEqual(
            facts,
            [
                (2, 1, "module other"),
                (3, 2, "eval bbbbbbbb while True: pass"),
                (4, 1, "eval cccccccc something else"),
            ],
        )

    def test_a_crash_loop_does_not_wear_out_the_flash(self):
        spent_s = 0
        for number in range(360):  # each comes ten seconds after the boot, for an hour
            spent_s = self.bench.note(running="module m%d" % number, uptime_s=10, spent_s=spent_s)
        notes = self.bench.records.numbers()[-1]
        self.assertTrue(20 < notes <= 24)

    def test_a_board_that_was_up_for_long_may_crash_again(self):
        spent_s = 0
        for _ in range(20):
            spent_s = self.bench.note(uptime_s=86400, spent_s=spent_s)
        self.assertEqual(self.bench.all()[0]["times"], 20)

    def test_cleared_they_are_gone_and_the_count_begins_anew(self):
        for number in range(3):
            self.bench.note(running="module m%d" % number)
        self.assertEqual(self.bench.records.clear(), 3)
        self.assertEqual((self.bench.all(), self.bench.records.clear()), ([], 0))
        self.bench.note()
        self.assertEqual(self.bench.records.numbers(), [1])

    def test_damaged_files_and_strange_ones_do_no_harm(self):
        self.bench.note(running="module a")
        for name, text in (
            ("7.json", "{"),
            ("8.json", "[]"),
            ("9.json", '{"number": "9"}'),
            ("3.json", '{"number": 3, "times": 1, "signature": "", "published": false}'),
            ("x.json", "{}"),
            ("10.json.new", "{}"),
            ("note.txt", "hello"),
        ):
            with open(self.bench.folder + "/" + name, "w") as file:
                file.write(text)
        self.assertEqual(self.bench.records.numbers(), [1, 3, 7, 8, 9])
        self.assertEqual(self.bench.records.read(3), None)
        self.bench.note(running="module b")
        last = self.bench.records.numbers()[-1]
        self.assertEqual((last, self.bench.records.read(last)["running"]), (10, "module b"))
        self.assertEqual(self.bench.records.read(8), None)
        os.mkdir(self.bench.folder + "/mine")
        with open(self.bench.folder + "/mine/note.txt", "w") as file:
            file.write("hello")
        self.bench.records.clear()
        self.assertEqual(os.listdir(self.bench.folder), ["mine"])


class NoRoomTest(unittest.TestCase):
    def setUp(self):
        self.bench = Bench()

    def test_when_the_filesystem_takes_nothing_the_last_one_is_in_nvs(self):
        self.bench.full()
        self.bench.note(running="module a")
        self.bench.note(running="module b", lines="x" * 400, trace="y" * 1024)
        (record,) = self.bench.all()
        self.assertEqual((record["running"], record["number"]), ("module b", 2))
        self.assertTrue(len(self.bench.nvs.blobs["crash"]) <= 1200)
        self.bench.note(running="module b", lines="x" * 400, trace="y" * 1024)
        (record,) = self.bench.all()
        self.assertEqual((record["times"], record["number"]), (2, 3))

    def test_it_moves_to_a_file_when_there_is_room_again(self):
        self.bench.full()
        self.bench.note(running="module a")
        os.remove(self.bench.folder)
        record = self.bench.records.read(1)
        self.bench.records.save(record)
        self.assertEqual((self.bench.nvs.blobs, self.bench.records.numbers()), ({}, [1]))

    def test_an_old_record_makes_room_for_a_new_one(self):
        for number in range(3):
            self.bench.note(running="module m%d" % number)
        write, refused = self.bench.records._write, []

        def no_room(record):
            if len(os.listdir(self.bench.folder)) > 1:
                refused.append(record)
                return False
            return write(record)

        self.bench.records._write = no_room
        self.bench.note(running="module new")
        names = [record["running"] for record in self.bench.all()]
        self.assertEqual((names, len(refused)), (["module m2", "module new"], 2))

    def test_a_full_nvs_besides_is_the_callers_to_tell(self):
        self.bench.full()
        self.bench.nvs.full = True
        with self.assertRaises(OSError):
            self.bench.note()


class PublishTest(unittest.TestCase):
    def setUp(self):
        self.bench = Bench()
        self.sent = []

    def publish(self, acknowledged=True):
        async def send(topic, payload, qos):
            self.sent.append((topic, json.loads(payload)["running"], qos))
            return acknowledged

        run(crash.publish(self.bench.records, send, "a/mqb/crash"))
        said, self.sent = self.sent, []
        return said

    def test_each_is_published_once(self):
        self.bench.note(running="module a")
        self.bench.note(running="module b")
        topic = "a/mqb/crash"
        self.assertEqual(self.publish(), [(topic, "module a", 1), (topic, "module b", 1)])
        self.assertEqual(self.publish(), [])
        self.bench.note(running="module a")  # again: that is news
        self.assertEqual(self.publish(), [(topic, "module a", 1)])

    def test_what_the_broker_did_not_take_is_published_again(self):
        self.bench.note(running="module a")
        self.assertEqual(len(self.publish(acknowledged=False)), 1)
        self.assertEqual(len(self.publish()), 1)
        self.assertEqual(len(self.publish()), 0)

    def test_one_in_nvs_is_published_once_too(self):
        self.bench.full()
        self.bench.note(running="module a")
        self.assertEqual((len(self.publish()), len(self.publish())), (1, 0))

    def test_what_is_cleared_meanwhile_stays_cleared(self):
        self.bench.note(running="module a")

        async def send(topic, payload, qos):
            self.bench.records.clear()
            return True

        run(crash.publish(self.bench.records, send, "a/mqb/crash"))
        self.assertEqual(self.bench.records.numbers(), [])


if __name__ == "__main__":
    unittest.main()
