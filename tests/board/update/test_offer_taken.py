"""Tests which offers a board takes, and which it refuses before anything is written."""

import json
import unittest

from fakes import BLOCK, run
from receiverbench import Bench, image_of, offer_of

import mqwire
from mqwire import update as wire


class OfferTest(unittest.TestCase):
    def test_the_base_has_to_be_what_runs(self):
        async def go():
            bench = Bench()
            image = offer_of(image_of(10))
            for base in (b'"ff"', b"5", b"[]"):
                request = await bench.offer(image, b'{"base": %s}' % base)
                self.assertEqual(request.code, wire.WRONG_BASE)
            request = await bench.offer(image, b'{"base": "00"}')
            self.assertEqual(request.code, wire.RECEIVING)

        run(go())

    def test_what_does_not_belong_here_is_refused_before_a_write(self):
        async def go():
            image = image_of(BLOCK)
            for changes, code in (
                ({"board": "esp32c3"}, wire.WRONG_BOARD),
                ({"mcu": "esp32c3"}, wire.WRONG_MCU),
                ({"format": 2}, wire.MALFORMED),
                ({"size": -1}, wire.MALFORMED),
                ({"size": "4096"}, wire.MALFORMED),
                ({"size": True}, wire.MALFORMED),
                ({"size": 9000}, wire.MALFORMED),
                ({"sha256": "zz"}, wire.MALFORMED),
                ({"sha256": "abcd"}, wire.MALFORMED),
                ({"blocks": ""}, wire.MALFORMED),
                ({"blocks": None}, wire.MALFORMED),
                ({"version": 3}, wire.MALFORMED),
                ({"seq": None}, wire.MALFORMED),
            ):
                bench = Bench()
                request = await bench.push(image, **changes)
                self.assertEqual(request.code, code, changes)
                self.assertEqual(bench.slot.writes, 0)
                bench.stop()
            bench = Bench(blocks=2)
            request = await bench.push(image_of(2 * BLOCK + 1))
            self.assertEqual(request.code, wire.TOO_LARGE)

        run(go())

    def test_garbage_instead_of_an_offer_is_malformed(self):
        async def go():
            for data in (b"", b"{", b"[]", b"\xff\xfe", b"{}", b"null"):
                bench = Bench()
                self.assertEqual((await bench.offer(data)).code, wire.MALFORMED)
                bench.stop()
            for options in (b"", b"[]", b'{"topic": 5}', b'{"topic": "a/#"}'):
                bench = Bench()
                request = await bench.offer(offer_of(image_of(10)), options)
                self.assertEqual(request.code, wire.MALFORMED, options)
                bench.stop()

        run(go())

    def test_the_running_image_is_not_taken_again(self):
        async def go():
            bench = Bench()
            image = image_of(10)
            bench.identity.image = json.loads(offer_of(image))["sha256"]
            self.assertEqual((await bench.push(image)).code, wire.ALREADY_RUNNING)

        run(go())

    def test_an_unconfirmed_board_keeps_its_way_back(self):
        async def go():
            bench = Bench()
            bench.identity.slot_state = "pending"
            self.assertEqual((await bench.push(image_of(10))).code, wire.UNCONFIRMED)
            self.assertEqual(bench.slot.writes, 0)

        run(go())

    def test_what_is_older_than_confirmed_is_refused_and_the_same_seq_is_not(self):
        async def go():
            for oldest, code in ((6, wire.TOO_OLD), (5, wire.INSTALLED)):
                bench = Bench()
                bench.identity.oldest = oldest
                request = await bench.push(image_of(10))
                self.assertEqual(request.code, code)
                bench.stop()

        run(go())

    def test_an_image_that_was_rolled_back_is_taken_again_only_when_that_is_asked_for(self):
        async def go():
            image = image_of(10)
            sha256 = json.loads(offer_of(image))["sha256"]
            failed = {"image": sha256, "version": "2.0", "code": wire.CRASH, "reason": "it fell"}
            bench = Bench()
            bench.identity.failed = failed
            request = await bench.push(image)
            self.assertEqual(
                (request.code, request.replies[-1][3]), (wire.FAILED_BEFORE, b"it fell")
            )
            self.assertEqual(bench.slot.writes, 0)
            for options in (b'{"retry_failed": 1}', b'{"retry_failed": null}'):
                request = await bench.offer(offer_of(image), options)
                self.assertEqual(request.code, wire.FAILED_BEFORE)
            request = await bench.offer(offer_of(image), b'{"retry_failed": true}')
            self.assertEqual(request.code, wire.RECEIVING)
            bench.stop()
            bench = Bench()
            bench.identity.failed = dict(failed, code=wire.POWER_LOST)
            self.assertEqual((await bench.push(image)).code, wire.INSTALLED)
            bench.stop()

        run(go())

    def test_topics_of_our_own_and_filters_are_no_topics_for_blocks(self):
        async def go():
            ours = "p/log", "p/mqb/status", "p/mqb/cmd/x/y", "p/mqb/cmd/x/mqb/blocks/1"
            others = "house/lamp", "a/mqb/blocks/+", "#", "$SYS/mqb/blocks/x", "a/mqb/blocks/\x00b"
            for topic in ours + others:
                bench = Bench()
                options = json.dumps({"topic": topic}).encode()
                request = await bench.offer(offer_of(image_of(10)), options)
                self.assertEqual(request.code, wire.MALFORMED, topic)
                if bench.task:
                    bench.task.cancel()

        run(go())

    def test_blocks_may_arrive_below_every_prefix(self):
        async def go():
            most = mqwire.MAX_TOPIC - len(mqwire.blocks_topic("", "12345678"))
            for root in ("p", "küche/licht 1", "other", "é" * (most // 2), "x" * most):
                bench = Bench()
                topic = mqwire.blocks_topic(root, "12345678")
                options = json.dumps({"topic": topic}).encode()
                request = await bench.offer(offer_of(image_of(10)), options)
                self.assertEqual((request.code, bench.topics), (wire.RECEIVING, [topic]))
                bench.stop()

        run(go())

    def test_a_version_is_shown_as_it_is_and_not_too_long(self):
        async def go():
            image = image_of(10)
            for version, code in (
                ("v" * (wire.MAX_VERSION - 1), wire.INSTALLED),
                ("v" * wire.MAX_VERSION, wire.INSTALLED),
                ("v" * (wire.MAX_VERSION + 1), wire.MALFORMED),
                ("é" * (wire.MAX_VERSION // 2), wire.INSTALLED),
                ("é" * (wire.MAX_VERSION // 2) + "v", wire.MALFORMED),
                ("", wire.MALFORMED),
                ("1\x1b[2J", wire.MALFORMED),
                ("\ud800", wire.MALFORMED),  # in the birth message it would be no UTF-8
            ):
                bench = Bench()
                self.assertEqual((await bench.push(image, version=version)).code, code, version)
                bench.stop()

        run(go())


if __name__ == "__main__":
    unittest.main()
