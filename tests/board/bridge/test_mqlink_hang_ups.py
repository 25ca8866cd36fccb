"""Tests that no message, and no broker that hangs up, makes a target reconnect without end."""

import asyncio
import unittest

import mqlink
from bridgepair import Broker, Pair
from fakes import run, until


async def outcome(publishing):
    """Return what `publishing` returns, or the text of its LinkError."""
    try:
        return await publishing
    except mqlink.LinkError as error:
        return str(error)


class TestHangUps(unittest.TestCase):
    def test_a_message_that_the_broker_hangs_up_at_is_given_up_and_the_others_go_on(self):
        broker = Broker(lambda first, topic: topic == "bad")

        async def go():
            async with Pair(broker) as pair:
                await pair.connected()
                link = pair.link
                topics = ("good/1", "bad", "good/2")
                sending = [outcome(link.publish(topic, b"payload", 1)) for topic in topics]
                outcomes = await asyncio.gather(*sending)
                self.assertEqual(await link.publish("good/3", b"", 1), True)
                self.assertEqual(await link.publish("good/4"), True)
                await until(lambda: "good/4" in broker.got)
                self.assertEqual(link.refused, 1)
                return outcomes

        outcomes = run(go())
        self.assertEqual(outcomes[0], True)
        self.assertEqual(outcomes[2], True)
        why = "given up: a message of 7 bytes to bad, at which the broker hangs up"
        self.assertEqual(outcomes[1], why)
        self.assertEqual(set(broker.got), {"good/1", "good/2", "good/3", "good/4"})
        self.assertTrue(4 <= len(broker.connections) <= 6)  # twice together, thrice alone

    def test_one_that_is_alone_costs_three_connections(self):
        broker = Broker(lambda first, topic: topic == "bad")

        async def go():
            async with Pair(broker) as pair:
                await pair.connected()
                why = await outcome(pair.link.publish("bad", b"", 1))
                self.assertEqual(await pair.link.publish("good", b"", 1), True)
                return why

        self.assertTrue(run(go()).startswith("given up: a message of 0 bytes to bad"))
        self.assertEqual(len(broker.connections), 4)

    def test_a_connection_that_fails_by_the_network_is_no_hang_up(self):
        broker = Broker()

        async def go():
            async with Pair(broker) as pair:
                await pair.connected()
                broker.acknowledges = False
                publishing = asyncio.create_task(pair.link.publish("good", b"", 1))
                for count in range(1, 5):
                    await until(lambda count=count: len(broker.got) == count)
                    broker.acknowledges = count == 4
                    broker.connections[-1].fail(OSError(113))  # EHOSTUNREACH
                return await publishing

        self.assertEqual(run(go()), True)
        self.assertEqual(len(broker.connections), 5)

    def test_a_subscription_that_the_broker_hangs_up_at_holds_up_no_message(self):
        broker = Broker(lambda first, topic: first == 0x82 and topic == "bad/#")

        async def go():
            async with Pair(broker) as pair:
                await pair.connected()
                link = pair.link
                await link.subscribe("bad/#", print)
                await link.subscribe("good/#", print)
                for number in range(3):
                    self.assertEqual(await link.publish("good", b"%d" % number, 1), True)
                self.assertEqual(link.refused, 0)
                self.assertTrue(link._subscriptions["good/#"].made)

        run(go())
        self.assertTrue(len(broker.connections) <= 4)


class TestPauses(unittest.TestCase):
    def test_each_failure_doubles_the_pause_up_to_a_minute_with_a_bit_of_chance(self):
        link = mqlink.Link(None)
        pauses = []
        for whole in (0.5, 1, 2, 4, 8, 16, 32, 40, 40, 40, 40, 40):
            link._fail("the broker closed the connection")
            pauses.append(link._pause_s)
            self.assertTrue(whole / 2 <= link._pause_s <= whole * 3 / 2, pauses)
        self.assertTrue(len(set(pauses)) > 4)

    def test_a_broker_that_hangs_up_at_all_is_asked_after_a_pause_each_time(self):
        broker = Broker()
        pauses = []

        async def go():
            async with Pair(broker) as pair:
                fail = pair.link._fail

                def note(why):
                    fail(why)
                    pauses.append(pair.link._pause_s)

                pair.link._fail = note
                for count in range(1, 6):
                    await until(lambda count=count: len(broker.connections) == count)
                    await pair.connected()
                    broker.connections[-1].end()
                    await until(lambda count=count: len(pauses) == count)

        run(go())
        self.assertEqual(len(broker.connections), 5)
        for index, pause in enumerate(pauses):
            self.assertTrue(0.002 * 2**index <= pause <= 0.006 * 2**index, pauses)


class TestTopics(unittest.TestCase):
    def refusal(self, topic, qos=1):
        link = mqlink.Link(None)
        with self.assertRaises(ValueError) as raised:
            run(link.publish(topic, b"1", qos))
        self.assertEqual((link._waiting, link.dropped), ([], 0))
        return str(raised.exception)

    def test_what_is_no_topic_is_refused_at_once(self):
        why = "no topic to publish to: ~/level/#: '#' has no place there"
        self.assertEqual(self.refusal("~/level/#"), why)
        self.assertEqual(self.refusal("~/level/#", 0), why)
        self.assertEqual(
            self.refusal("a/+/b"), "no topic to publish to: a/+/b: '+' has no place there"
        )
        self.assertIn("'\\x00' has no place there", self.refusal("a\0b"))
        self.assertEqual(self.refusal(""), "no topic to publish to: : it has 0 bytes")
        self.assertIn("it has 65001 bytes", self.refusal("x" * 65001))

    def test_what_is_no_filter_is_refused_at_once(self):
        link = mqlink.Link(None)
        for topic_filter in ("", "a/#/b", "a/b#", "a+/b", "a\0"):
            with self.assertRaises(ValueError):
                run(link.subscribe(topic_filter, print))
            with self.assertRaises(ValueError):
                run(link.unsubscribe(topic_filter))
        self.assertEqual(link._subscriptions, {})
        for topic_filter in ("#", "+", "a/+/b", "+/+", "~/a/#"):
            mqlink._check(topic_filter, True)

    def test_a_will_that_cannot_be_is_refused(self):
        for will in (("~/#", b"gone", 1, True), ("~/state", bytes(4000), 1, True)):
            with self.assertRaises(ValueError):
                mqlink.Link(None, will=will)

    def test_a_payload_that_no_connection_could_send_is_refused(self):
        with self.assertRaises(TypeError):
            run(mqlink.Link(None).publish("~/level", 21, 1))


if __name__ == "__main__":
    unittest.main()
