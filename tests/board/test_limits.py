"""Tests the limits that both ends decide by, on the board: one less, just so, one more."""

import asyncio
import json
import struct
import unittest

from fakes import FakeNvs, FakeStream, run, until

import mqwire
from mqboard import config, identity
from mqboard.health.bootrecord import Store, Trial
from mqboard.mqtt import Client
from mqwire import config as limits
from mqwire import update as wire

GOOD = {
    "prefix": "esp32/test",
    "networks": [{"ssid": "net"}],
    "broker": {"host": "127.0.0.1", "tls": False},
}


def parse(**changes):
    """Parse GOOD with these tables' keys changed."""
    fields = dict(GOOD)
    for name, value in changes.items():
        fields[name] = dict(GOOD.get(name, {}), **value) if isinstance(value, dict) else value
    return config.parse(json.dumps(fields))


class ConfigurationTest(unittest.TestCase):
    def test_a_network_that_cannot_be_is_complained_about_and_tried_all_the_same(self):
        most = limits.MAX_SSID
        low, high = limits.PASSPHRASE
        for ssid, password, good in (
            ("n" * most, "", True),
            ("n" * (most + 1), "", False),
            ("é" * (most // 2), "p" * low, True),
            ("é" * (most // 2) + "n", "p" * low, False),
            ("", "", False),
            ("n", "p" * (low - 1), False),
            ("n", "p" * (high - 1), True),
            ("n", "p" * high, True),
            ("n", "p" * (high + 1), False),
            ("n", "0aF9" * 16, True),
            ("n", "0aF9" * 16 + "0", False),
            ("n", "é" * (high // 2), True),
            ("n", "é" * (high // 2) + "pp", False),
        ):
            networks = [{"ssid": ssid, "password": password}, {"ssid": "other"}]
            parsed = parse(networks=networks)
            taken = [(each["ssid"], each["password"]) for each in parsed.networks]
            self.assertEqual(taken, [(ssid, password), ("other", "")])
            self.assertEqual(parsed.complaint == "", good, (ssid, password, parsed.complaint))
            self.assertFalse(len(password) > 1 and password in parsed.complaint)

    def test_every_range_holds_at_its_ends(self):
        ranges = [
            (name, key, limit)
            for name, kind, _, rows in limits.KEYS
            for key, _, _, limit in (rows if kind == "group" else ())
            if isinstance(limit, tuple) and isinstance(limit[0], int)
        ]
        self.assertTrue(len(ranges) >= 3)
        for name, key, (low, high) in ranges:
            for value in (low, low + 1, high - 1, high):
                parse(**{name: {key: value}})
            for value in (low - 1, high + 1):
                with self.assertRaises(config.ConfigError):
                    parse(**{name: {key: value}})

    def test_what_is_kept_has_a_limit_in_bytes(self):
        store = Store(FakeNvs())
        for text in ("x" * (limits.MAX_KEPT - 1), "é" * (limits.MAX_KEPT // 2)):
            store.set("text", text)
            self.assertEqual(store.get("text", limits.MAX_KEPT), text)
        with self.assertRaises(OSError) as caught:
            store.set("text", text + "x")
        self.assertEqual(str(caught.exception), "it has 4001 bytes; 4000 is the most")
        self.assertEqual(store.get("text", limits.MAX_KEPT), text)


class Build:
    BOARD = "b" * mqwire.MAX_NAME
    MCU = "esp32"
    VERSION = "v" * wire.MAX_VERSION
    COMMIT = "12345678-dirty"
    COMMITTED = False
    BUILD_TIME = SEQ = 1 << 32
    KEYS = (b"k" * wire.SIGNATURE_SIZE, b"l" * wire.SIGNATURE_SIZE)


class WireTest(unittest.TestCase):
    def test_the_largest_message_to_the_longest_topic_comes_in_one_piece(self):
        async def go():
            for more in (-1, 0, 1):
                stream = FakeStream()
                seen = []

                async def opener(stream=stream):
                    return stream

                def take(topic, payload, retained, seen=seen):
                    seen.append((topic, len(payload)))

                client = Client(opener, "c", rx_size=mqwire.MAX_PACKET)
                topic = "t" * mqwire.MAX_TOPIC
                await client.subscribe("#", take)
                task = asyncio.create_task(client.run())
                stream.feed(b"\x20\x02\x00\x00")
                size = 2 + len(topic) + 2 + mqwire.MAX_PAYLOAD + more
                head = bytes((0x32, size & 127 | 128, size >> 7)) + struct.pack(">H", len(topic))
                await until(lambda client=client: client.connected)
                stream.feed(head + topic.encode() + b"\0\1" + bytes(mqwire.MAX_PAYLOAD + more))
                await until(lambda client=client, seen=seen: seen or client.oversized)
                taken = [(topic, mqwire.MAX_PAYLOAD + more)] if more <= 0 else []
                self.assertEqual((seen, client.oversized), (taken, int(more > 0)))
                task.cancel()

        run(go())

    def test_the_longest_birth_is_one_message_with_room_for_what_info_adds(self):
        trial = Trial(Store(FakeNvs()))
        trial.begin("1" * 64, Build.VERSION)
        trial.due()
        trial.blame(wire.CRASH, "\x01" * 1000)
        me = identity.Identity(Build, "12345678", b"\x24\x0a\xc4\0\0\1")
        me.image = "0" * 64
        me.oldest = Build.SEQ
        me.failed = trial.resolve(me.image, "aborted", "watchdog")
        self.assertEqual(me.failed["code"], wire.CRASH)
        self.assertTrue(len(me.birth()) <= mqwire.MAX_PAYLOAD // 2)


if __name__ == "__main__":
    unittest.main()
