"""Slots, configuration, boot record, supervisor and console."""

import asyncio
import binascii
import hashlib
import json
import unittest

from fakes import BLOCK, FakeLog, FakePartition, run, until

from mqboard import config
from mqboard.health.bootrecord import (
    BootRecord,
    Store,
    Trial,
    count_from_zero,
    keep_seq,
    newest_seq,
)
from mqboard.health.supervisor import Supervisor
from mqboard.log import Console
from mqboard.update import slots
from mqwire import flash
from mqwire import update as wire


def record(sequence, state, crc=None):
    data = flash.pack_otadata(sequence, state, 0)
    good = binascii.crc32(data[:4], flash.CRC_START) & 0xFFFFFFFF
    return flash.pack_otadata(sequence, state, good if crc is None else crc)


class SlotsTest(unittest.TestCase):
    def state(self, first, second, label):
        otadata = FakePartition(2, "otadata")
        otadata.data[: len(first)] = first
        otadata.data[BLOCK : BLOCK + len(second)] = second
        return slots.state(otadata, FakePartition(1, label))

    def test_states(self):
        one = record(1, flash.VALID)
        two = record(2, flash.PENDING_VERIFY)
        self.assertEqual(self.state(b"", b"", "ota_0"), "undefined")
        self.assertEqual(self.state(one, b"", "ota_0"), "valid")
        self.assertEqual(self.state(one, b"", "ota_1"), "undefined")
        self.assertEqual(self.state(one, two, "ota_1"), "pending")
        self.assertEqual(self.state(two, one, "ota_1"), "pending")
        self.assertEqual(self.state(record(4, flash.ABORTED), one, "ota_1"), "aborted")
        self.assertEqual(self.state(record(2, flash.VALID, crc=1), b"", "ota_1"), "undefined")

    def test_image_hash_covers_exactly_the_image(self):
        image = bytearray(b"\x5a" * (3 * BLOCK))
        size = 2 * BLOCK + 48  # header, one segment, checksum row, digest
        image[0] = 0xE9
        image[1] = 1
        image[23] = 1
        length = size - 32 - 16 - 24 - 8
        image[28:32] = bytes((length & 255, length >> 8, 0, 0))
        partition = FakePartition(3)
        partition.data[:] = image
        wanted = str(binascii.hexlify(hashlib.sha256(bytes(image[:size])).digest()), "ascii")
        self.assertEqual(run(slots.image_hash(partition)), wanted)
        self.assertEqual(run(slots.image_hash(FakePartition(3))), "")


class FakeNvs:
    def __init__(self):
        self.blobs = {}

    def get_blob(self, key, buffer):
        if key not in self.blobs:
            raise OSError(-4354, "ESP_ERR_NVS_NOT_FOUND")
        value = self.blobs[key]
        buffer[: len(value)] = value
        return len(value)

    def set_blob(self, key, value):
        self.blobs[key] = bytes(value)

    def erase_key(self, key):
        if self.blobs.pop(key, None) is None:
            raise OSError(-4354, "ESP_ERR_NVS_NOT_FOUND")

    def commit(self):
        pass


GOOD = {
    "prefix": "esp32/test",
    "networks": [{"ssid": "net", "password": "secret"}],
    "broker": {"host": "127.0.0.1", "tls": False},
}


class ConfigTest(unittest.TestCase):
    def test_defaults(self):
        parsed = config.parse(json.dumps(GOOD))
        self.assertEqual((parsed.host, parsed.port, parsed.user), ("127.0.0.1", 1883, None))
        self.assertEqual(parsed.networks, [("net", "secret")])
        self.assertEqual((parsed.health_s, parsed.confirm_s), (10, 300))
        self.assertEqual(parsed.allow_downgrade, False)

    def test_tls_is_the_default_and_needs_a_ca(self):
        fields = dict(GOOD)
        fields["broker"] = {"host": "h", "ca": "/certs/ca.pem"}
        parsed = config.parse(json.dumps(fields))
        self.assertEqual((parsed.tls, parsed.verify, parsed.port), (True, True, 8883))
        self.assertEqual((parsed.ca, parsed.cert, parsed.key), ("/certs/ca.pem", None, None))
        fields["broker"] = {"host": "h", "verify": False}
        self.assertTrue(config.parse(json.dumps(fields)).tls)

    def test_each_error_names_its_key(self):
        for changes, key in (
            ({"prefix": 5}, "prefix"),
            ({"prefix": "a/#"}, "prefix"),
            ({"prefix": ""}, "prefix"),
            ({"networks": []}, "networks"),
            ({"networks": [{}]}, "ssid"),
            ({"networks": "net"}, "networks"),
            ({"broker": {}}, "host"),
            ({"broker": {"host": "h", "port": "1883"}}, "port"),
            ({"broker": {"host": "h", "keepalive": 0}}, "keepalive"),
            ({"broker": {"host": "h"}}, "broker.ca"),
            ({"broker": {"host": "h", "tls": "no"}}, "tls"),
            ({"broker": {"host": "h", "ca": "/c", "cert": "/c"}}, "key"),
            ({"update": {"confirm_s": -1}}, "confirm_s"),
            ({"update": []}, "update"),
            ({"update": {"allow_downgrade": 1}}, "allow_downgrade"),
            ({"modules": [1]}, "modules"),
        ):
            fields = dict(GOOD)
            fields.update(changes)
            with self.assertRaises(config.ConfigError) as caught:
                config.parse(json.dumps(fields))
            self.assertIn(key, str(caught.exception))
        for text in ("", "{", "[]", "null", "{}"):
            with self.assertRaises(config.ConfigError):
                config.parse(text)

    def test_too_little_time_to_confirm_an_update_is_set_right_and_never_refused(self):
        store = Store(FakeNvs())
        for update, confirm_s in (
            ({"confirm_s": 19}, 20),
            ({"health_s": 200, "confirm_s": 100}, 400),
            ({"health_s": 200}, 400),
            ({"health_s": 0.5, "confirm_s": 1}, 1),
        ):
            fields = dict(GOOD)
            fields["update"] = update
            parsed = config.parse(json.dumps(fields))
            self.assertEqual(parsed.confirm_s, confirm_s)
            for key in ("update.confirm_s", "update.health_s"):
                self.assertEqual(key in parsed.complaint, confirm_s > 1)
            store.set("config", json.dumps(fields))
            self.assertEqual(config.load("/does/not/exist", store)[0].confirm_s, confirm_s)

    def test_the_last_good_configuration_stands_in(self):
        store = Store(FakeNvs())
        with self.assertRaises(config.ConfigError):
            config.load("/does/not/exist.json", store)
        store.set("config", json.dumps(GOOD))
        loaded, complaint = config.load("/does/not/exist.json", store)
        self.assertEqual(loaded.prefix, "esp32/test")
        self.assertIn("/does/not/exist.json", complaint)


class Memory:
    """machine.RTC().memory"""

    def __init__(self):
        self.data = b""

    def __call__(self, *data):
        if not data:
            return self.data
        self.data = bytes(data[0])


class BootRecordTest(unittest.TestCase):
    def test_three_boots_that_never_got_healthy_end_in_safe_mode(self):
        memory = Memory()
        seen = [BootRecord(memory, number == 0).safe_mode() for number in range(5)]
        self.assertEqual(seen, [False, False, False, True, True])

    def test_a_healthy_boot_counts_from_zero_again(self):
        memory = Memory()
        for _ in range(10):
            boot = BootRecord(memory, False)
            self.assertFalse(boot.safe_mode())
            count_from_zero(memory)

    def test_power_cycles_are_not_crashes(self):
        memory = Memory()
        for _ in range(10):
            self.assertFalse(BootRecord(memory, True).safe_mode())

    def test_garbage_in_rtc_memory_counts_as_nothing(self):
        memory = Memory()
        memory.data = b"\xff" * 2048
        self.assertEqual(BootRecord(memory, False).unhealthy, 0)


class TrialTest(unittest.TestCase):
    def setUp(self):
        self.nvs = FakeNvs()
        self.trial = Trial(Store(self.nvs))

    def start(self, image, version):
        self.trial.begin(image, version)
        self.trial.due()

    def test_a_rolled_back_image_is_remembered_with_its_reason(self):
        self.start("beef", "2.0")
        self.trial.blame(wire.NO_BROKER, "no broker")
        failed = {"image": "beef", "version": "2.0", "code": wire.NO_BROKER, "reason": "no broker"}
        self.assertEqual(self.trial.resolve("cafe", "aborted", "reset"), failed)
        self.assertEqual(self.trial.resolve("cafe", "aborted", "reset"), failed)

    def test_without_a_word_of_its_own_the_reset_cause_tells(self):
        for cause, code in (
            ("watchdog", wire.WATCHDOG),
            ("power-on", wire.POWER_LOST),
            ("reset", wire.CRASH),
        ):
            self.start("beef", "2.0")
            self.assertEqual(self.trial.resolve("cafe", "aborted", cause)["code"], code)

    def test_the_image_on_trial_itself_is_no_failure(self):
        self.start("beef", "2.0")
        self.assertIsNone(self.trial.resolve("beef", "valid", "reset"))
        self.trial.confirmed()
        self.assertIsNone(self.trial.resolve("cafe", "aborted", "reset"))

    def test_power_lost_while_a_confirmation_is_noted_leaves_a_note_of_that(self):
        nvs = FakeNvs()
        trial = Trial(Store(nvs))
        trial.begin("dead", "1.9")
        trial.due()
        trial.resolve("cafe", "aborted", "watchdog")
        trial.begin("beef", "2.0")
        erase, left = nvs.erase_key, []

        def erase_once(key):
            if left:
                raise KeyboardInterrupt  # the power is gone
            left.append(key)
            erase(key)

        nvs.erase_key = erase_once
        with self.assertRaises(KeyboardInterrupt):
            trial.confirmed()
        self.assertEqual(trial.image(), "beef")
        nvs.erase_key = erase
        trial.confirmed()
        self.assertIsNone(trial.image())
        self.assertEqual(nvs.blobs, {})

    def test_an_image_that_was_never_booted_did_not_fail(self):
        self.start("beef", "2.0")
        self.assertIsNone(self.trial.resolve("cafe", "undefined", "power-on"))

    def test_an_image_that_was_not_due_is_not_blamed_for_the_one_before_it(self):
        for cause in ("watchdog", "reset", "power-on"):
            self.trial.begin("beef", "2.0")
            self.assertIsNone(self.trial.resolve("cafe", "aborted", cause))
            self.assertIsNone(self.trial.image())

    def test_a_note_that_does_not_fit_stops_no_update(self):
        def full(key, value):
            raise OSError(-4357, "ESP_ERR_NVS_NOT_ENOUGH_SPACE")

        self.trial.begin("beef", "2.0")
        self.nvs.set_blob = full
        self.trial.due()
        self.assertEqual(self.trial.image(), "beef")


class SeqTest(unittest.TestCase):
    def test_the_highest_is_kept(self):
        store = Store(FakeNvs())
        self.assertEqual(newest_seq(store), 0)
        for seq, kept in ((5, 5), (3, 5), (1 << 40, 1 << 40)):
            keep_seq(store, seq)
            self.assertEqual(newest_seq(store), kept)

    def test_garbage_counts_as_none(self):
        store = Store(FakeNvs())
        store.set("seq", "x")
        self.assertEqual(newest_seq(store), 0)


class SupervisorTest(unittest.TestCase):
    def test_it_feeds_restarts_and_logs(self):
        async def go():
            fed = []
            log = FakeLog()
            supervisor = Supervisor(lambda: fed.append(1), log)
            runs = []

            async def dies():
                runs.append(1)
                raise ValueError("boom")

            supervisor.add("mortal", dies)
            task = asyncio.create_task(supervisor.run())
            await until(lambda: len(runs) == 2 and len(fed) >= 2)
            self.assertIn("mortal", log.lines[0])
            self.assertTrue(supervisor.calm_s() < 1)
            task.cancel()

        run(go())

    def test_a_vital_task_may_neither_return_nor_be_cancelled(self):
        async def go():
            log = FakeLog()
            supervisor = Supervisor(lambda: None, log)

            async def returns():
                pass

            async def waits():
                await asyncio.sleep(60)

            supervisor.add("short", returns)
            supervisor.add("long", waits)
            supervisor.add("once", returns, vital=False)
            supervisor._entries[1].task.cancel()
            task = asyncio.create_task(supervisor.run())
            await until(lambda: len(supervisor._entries) == 2 and len(log.lines) >= 4)
            self.assertEqual([entry.deaths for entry in supervisor._entries], [1, 1])
            self.assertIn("returned", "".join(log.lines))
            self.assertIn("cancelled", "".join(log.lines))
            task.cancel()

        run(go())

    def test_a_vital_task_that_keeps_dying_starves_the_watchdog(self):
        async def go():
            fed = []
            supervisor = Supervisor(lambda: fed.append(1), FakeLog())

            async def lives():
                await asyncio.sleep(60)

            supervisor.add("vital", lives)
            supervisor.add("module", lives, vital=False)
            vital, module = supervisor._entries
            module.deaths = 99
            self.assertTrue(supervisor.trusty())
            vital.deaths = 99
            self.assertFalse(supervisor.trusty())

        run(go())


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
