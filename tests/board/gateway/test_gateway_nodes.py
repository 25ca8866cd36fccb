"""Tests gateway and nodes together, over a radio that loses, doubles and reorders frames."""

import asyncio
import os
import random
import unittest

import fakes
import mqnode
import mqpipe
from mqgateway.gateway import Gateway
from mqgateway.settings import read

mqpipe._FIRST_MS, mqpipe._LONGEST_MS, mqnode._CHANNEL_MS = 20, 80, 20
mqnode._MESSAGE_MS = 300
mqnode._FULL_S = 60  # longer than the patience of all

KEY = "000102030405060708090a0b0c0d0e0f"
OTHER_KEY = "ff0102030405060708090a0b0c0d0e0f"
GATEWAY = b"\x24\x0a\xc4\x00\x00\x01"
PUMP = b"\x24\x0a\xc4\x00\x00\x02"
STRANGER = b"\x24\x0a\xc4\x00\x00\x03"
TEXT_OF_PUMP = "24:0a:c4:00:00:02"


class Air:
    """Carries frames between Radios; `said` keeps all of them: (from, to, frame)."""

    def __init__(self, loss=0.0, double=0.0, reorder=0.0):
        self.loss, self.double, self.reorder = loss, double, reorder
        self.radios = []
        self.said = []
        self.late = []
        self.spoil = None  # says of a frame whether it gets lost
        random.seed(1)

    def carry(self, sender, mac, frame, key):
        self.said.append((sender.mac, mac, frame))
        waiting, self.late = self.late, []
        for radio in self.radios:
            if radio is sender or not radio.on or abs(radio.at - sender.at) > radio.wide:
                continue
            if mac not in (mqpipe.EVERYBODY, radio.mac) or random.random() < self.loss:
                continue
            if self.spoil and self.spoil(frame):
                continue
            if key and radio.peers.get(sender.mac) != key:
                continue
            for _ in range(2 if random.random() < self.double else 1):
                if random.random() < self.reorder:
                    self.late.append((radio, sender.mac, frame))
                else:
                    radio.put(sender.mac, frame)
        for radio, sender_mac, frame in waiting:
            radio.put(sender_mac, frame)


class Radio:
    """Has what mqpipe.Radio has."""

    refused = 0

    def __init__(self, air, mac, channel=1, wide=0):
        self.air, self.mac, self.at, self.wide = air, mac, channel, wide
        self.peers = {}
        self.on = True
        self.frames = []
        self.news = asyncio.Event()
        air.radios.append(self)

    def add(self, mac, key=None):
        self.peers[mac] = key

    def channel(self):
        return self.at

    def tune(self, channel):
        self.at = channel

    def stay_awake(self):
        pass

    def send(self, mac, frame):
        assert len(frame) <= 250 and mac in self.peers
        self.air.carry(self, mac, frame, self.peers[mac])

    def put(self, mac, frame):
        self.frames.append((mac, frame))
        self.news.set()

    async def receive(self):
        while not self.frames:
            self.news.clear()
            await self.news.wait()
        await asyncio.sleep(0)
        return self.frames.pop(0)


class Client:
    """Has what the gateway needs of mqboard.mqtt.Client; `broker` is what came there."""

    def __init__(self):
        self.connected = True
        self.up = asyncio.Event()
        self.up.set()
        self.broker = []
        self._subscriptions = {}
        self.subscribed = []
        self.refuses = False

    async def publish(self, topic, payload, qos, retain):
        if not qos and not self.connected:
            return False
        await self.up.wait()
        if self.refuses:
            return False
        self.broker.append((topic, bytes(payload), qos, retain))
        return True

    async def subscribe(self, topic_filter, handler, qos):
        self._subscriptions[topic_filter] = handler
        self.subscribed.append((topic_filter, qos))

    async def unsubscribe(self, topic_filter):
        self.drop(topic_filter)

    def drop(self, topic_filter):
        self._subscriptions.pop(topic_filter, None)

    def cut(self):
        self.connected = False
        self.up.clear()

    def mend(self):
        self.connected = True
        self.up.set()

    def say(self, topic, payload, retained=False):
        """Have the broker send a message, to each filter that matches."""
        for topic_filter in list(self._subscriptions):
            if mqnode.matches(topic_filter, topic):
                self._subscriptions[topic_filter](topic, memoryview(payload), retained)

    def numbers(self):
        return [int(payload) for _, payload, _, _ in self.broker]


class Clock:
    trusted = True

    def now(self):
        return 1_900_000_000


class World:
    """A gateway in the air, and nodes at need, while the `async with` block runs."""

    def __init__(self, pump=None, keep=16, memory=16384, key=None, channel=1, **air):
        self.air = Air(**air)
        settings = dict({"mac": TEXT_OF_PUMP}, **(pump or {}))
        if key:
            settings["key"] = key
        self.key = key
        self.settings = {"nodes": {"pump": settings}, "keep": keep, "memory": memory}
        self.client = Client()
        self.channel = channel
        self._leave = []

    async def __aenter__(self):
        self.start_gateway()
        return self

    async def __aexit__(self, *_):
        self.stop_gateway()
        for node in self._leave:
            await node.__aexit__()

    def start_gateway(self):
        nodes, limits = read(self.settings, "farm")
        radio = Radio(self.air, GATEWAY, self.channel)
        self.gateway = Gateway(self.client, Clock(), radio, nodes, **limits)
        self.gateway._log = self.log = fakes.FakeLog()
        self.pump = self.gateway._nodes[PUMP]
        self._task = asyncio.create_task(self.gateway.run())

    def stop_gateway(self):
        self._task.cancel()
        self.gateway.end()
        self.gateway.radio.on = False

    async def node(self, mac=PUMP, **options):
        radio = Radio(self.air, mac, wide=options.pop("wide", 0))
        settings = {"key": self.key, "patience_s": 30, "channels": range(1, 4)}
        node = mqnode.Node(radio, **dict(settings, **options))
        self._leave.append(node)
        await node.__aenter__()
        return node

    async def sleep(self, node):
        """End a node as a deep sleep does; return what it keeps."""
        self._leave.remove(node)
        await node.__aexit__()
        node._radio.on = False
        return node.state()


class Seen:
    """A handler that notes what comes."""

    def __init__(self):
        self.all = []

    def __call__(self, topic, payload, retained):
        self.all.append((topic, payload, retained))

    def numbers(self):
        return [int(payload) for _, payload, _ in self.all]


def until(condition):
    return fakes.until(condition, 30)


def run(go):
    """Run a test to its end, on a slow machine, too."""
    return fakes.run(go(), 60)


async def refused(work):
    """Return what a node is told that is refused something."""
    try:
        await work
    except mqnode.Refused as error:
        return str(error)
    raise AssertionError("it was not refused")


class TestPublishing(unittest.TestCase):
    def test_the_word_that_comes_back_is_the_brokers(self):
        async def go():
            async with World() as world:
                node = await world.node()
                self.assertEqual(await node.publish("~/level", b"21", 1, True), mqnode.PUBLISHED)
                self.assertEqual(await node.publish("~/level", b"22", 0), mqnode.PUBLISHED)
                topic = "farm/nodes/pump/level"
                self.assertEqual(
                    world.client.broker, [(topic, b"21", 1, True), (topic, b"22", 0, False)]
                )
                self.assertEqual(await node.time(), 1_900_000_000)

        run(go)

    def test_without_a_broker_it_is_kept_and_published_later_in_order(self):
        async def go():
            async with World(keep=3) as world:
                node = await world.node()
                world.client.cut()
                for number in range(3):
                    self.assertEqual(await node.publish("~/n", b"%d" % number), mqnode.KEPT)
                self.assertEqual(await node.publish("~/n", b"9", 0), mqnode.DROPPED)
                text = await refused(node.publish("~/n", b"3"))
                self.assertEqual(text, "the gateway keeps no more messages")
                self.assertEqual(world.gateway.statistics()["kept"], 3)
                world.client.mend()
                await until(lambda: len(world.client.broker) == 3)
                self.assertEqual(world.client.numbers(), [0, 1, 2])
                await until(lambda: not world.gateway.kept)
                self.assertEqual(world.gateway.held, 0)
                self.assertEqual(await node.publish("~/n", b"4"), mqnode.PUBLISHED)

        run(go)

    def test_a_broker_that_says_nothing_is_waited_for_a_moment_only(self):
        async def go():
            async with World() as world:
                node = await world.node()
                world.client.up.clear()  # connected, and no acknowledgement
                self.assertEqual(await node.publish("~/n", b"1"), mqnode.KEPT)
                world.client.up.set()
                await until(lambda: world.client.numbers() == [1])

        run(go)

    def test_what_the_broker_does_not_take_is_refused(self):
        async def go():
            async with World() as world:
                node = await world.node()
                world.client.refuses = True
                text = await refused(node.publish("~/n", b"1"))
                self.assertEqual(text, "the broker does not take a message to farm/nodes/pump/n")
                self.assertEqual(world.gateway.lost, 1)

        run(go)

    def test_a_node_publishes_where_it_may_and_never_to_what_manages_boards(self):
        async def go():
            async with World({"publish": ["farm/+/level", "#"]}) as world:
                node = await world.node()
                for topic in ("farm/x/level", "else"):
                    self.assertEqual(await node.publish(topic, b"1"), mqnode.PUBLISHED)
                text = await refused(node.publish("farm/mqb/cmd/reset/12345678"))
                self.assertIn("node pump may not publish to farm/mqb", text)
                self.assertIn("may not", await refused(node.publish("~/+/x")))
            async with World() as world:
                node = await world.node()
                for topic in ("farm/x/level", "farm/nodes/pump2/x", "farm/nodes/other/x", "$SYS/x"):
                    self.assertIn("may not publish", await refused(node.publish(topic)))
                self.assertEqual(world.client.broker, [])
                self.assertEqual(world.pump.refused, 4)
                for before in ("", "x"):  # what is said is cut, between two characters
                    text = await refused(node.publish(before + "\u00fc" * 120))
                    self.assertTrue(text.endswith("\u00fc"))

        run(go)

    def test_long_messages_go_in_pieces(self):
        async def go():
            for key in (None, KEY):
                async with World(key=key, loss=0.1, double=0.1, reorder=0.1) as world:
                    node = await world.node()
                    seen = Seen()
                    await node.subscribe("~/in", seen)
                    for size in (0, 1, 218, 219, 220, 900, 4080):
                        payload = bytes([i & 0xFF for i in range(size)])
                        await node.publish("~/n", payload)
                        self.assertEqual(world.client.broker[-1][1], payload)
                        world.client.say("farm/nodes/pump/in", payload)
                        await node.fetch()
                        self.assertEqual(seen.all[-1], ("~/in", payload, False))
                    with self.assertRaises(ValueError):
                        await node.publish("~/n", bytes(4096))
                    world.client.say("farm/nodes/pump/in", bytes(4096))
                    self.assertEqual(world.pump.dropped, 1)

        run(go)


class TestTheRadio(unittest.TestCase):
    def both_ways(self, count, **options):
        async def go():
            async with World({"queue": count}, memory=100_000, **options) as world:
                node = await world.node()
                seen = Seen()
                await node.subscribe("~/in", seen)
                listening = asyncio.create_task(node.listen())
                for number in range(count):
                    world.client.say("farm/nodes/pump/in", b"%d" % number)
                    await node.publish("~/out", b"%d" % number)
                await until(lambda: len(seen.all) >= count)
                listening.cancel()
                self.assertEqual(world.client.numbers(), list(range(count)))
                self.assertEqual(seen.numbers(), list(range(count)))
                return node.repeated + world.pump.repeated

        return run(go)

    def test_on_a_good_radio_nothing_is_sent_twice(self):
        self.both_ways(30)

    def test_nothing_is_lost_or_doubled_on_a_bad_radio(self):
        self.assertTrue(self.both_ways(60, loss=0.2, double=0.2, reorder=0.2, key=KEY))

    def test_an_answer_that_gets_lost_has_nothing_done_twice(self):
        async def go():
            async with World() as world:
                node = await world.node()
                seen = Seen()
                await node.subscribe("~/in", seen)
                lost = []

                def spoil(frame):
                    if frame[1] & 0x7F == mqpipe.DONE and len(lost) < 6:
                        lost.append(frame)
                        return True
                    return False

                world.air.spoil = spoil
                self.assertEqual(await node.publish("~/n", b"1"), mqnode.PUBLISHED)
                self.assertEqual(world.client.numbers(), [1])
                world.client.say("farm/nodes/pump/in", b"2")
                lost.clear()
                while not seen.all:
                    await node.fetch()
                await node.fetch()
                self.assertEqual(seen.numbers(), [2])

        run(go)

    def test_the_gateway_is_found_on_its_channel_and_again_where_it_goes(self):
        async def go():
            async with World(channel=3) as world:
                node = await world.node()
                await node.publish("~/n", b"1")
                self.assertEqual(node.channel, 3)
                world.gateway.radio.at = 2
                await node.publish("~/n", b"2")
                self.assertEqual((node.channel, world.client.numbers()), (2, [1, 2]))
                self.assertEqual(node.token, world.pump.token)

        run(go)

    def test_a_gateway_heard_on_the_channel_beside_its_own_says_which_it_is_on(self):
        async def go():
            async with World(channel=3) as world:
                world.gateway.radio.wide = 1
                node = await world.node(wide=1, channels=(2, 1))
                await node.publish("~/n", b"1")
                self.assertEqual((node.channel, node._radio.at), (3, 3))

        run(go)

    def test_without_a_gateway_a_node_says_so(self):
        async def go():
            async with World() as world:
                world.stop_gateway()
                node = await world.node(patience_s=0.2)
                with self.assertRaises(mqnode.Lost):
                    await node.publish("~/n", b"1")
                world.start_gateway()
                node.patience_s = 30
                self.assertEqual(await node.publish("~/n", b"2"), mqnode.PUBLISHED)
                self.assertEqual(world.client.numbers(), [2])

        run(go)


class TestSubscriptions(unittest.TestCase):
    def test_handlers_are_called_by_what_matches(self):
        async def go():
            async with World({"subscribe": ["farm/weather/#"]}) as world:
                node = await world.node()
                lamp, weather = Seen(), Seen()

                async def slow(topic, payload, retained):
                    await asyncio.sleep(0.01)
                    weather(topic, payload, retained)

                await node.subscribe("~/lamp/+", lamp)
                await node.subscribe("farm/weather/#", slow, 0)
                self.assertEqual(world.client.subscribed[1], ("farm/weather/#", 0))
                world.client.say("farm/nodes/pump/lamp/1", b"on")
                world.client.say("farm/weather/rain", b"soon", True)
                self.assertEqual(await node.fetch(), 2)
                self.assertEqual(lamp.all, [("~/lamp/1", b"on", False)])
                self.assertEqual(weather.all, [("farm/weather/rain", b"soon", True)])
                await node.unsubscribe("~/lamp/+")
                world.client.say("farm/nodes/pump/lamp/1", b"off")
                self.assertEqual(await node.fetch(), 0)
                self.assertEqual(list(world.client._subscriptions), ["farm/weather/#"])

        run(go)

    def test_what_two_filters_match_comes_once(self):
        async def go():
            async with World() as world:
                node = await world.node()
                one, other = Seen(), Seen()
                await node.subscribe("~/#", one)
                await node.subscribe("~/lamp", other)
                world.client.say("farm/nodes/pump/lamp", b"1")
                self.assertEqual(await node.fetch(), 1)
                self.assertEqual((one.numbers(), other.numbers()), ([1], [1]))

        run(go)

    def test_a_subscription_beyond_what_it_may_is_refused(self):
        async def go():
            async with World({"subscribe": ["farm/+/level", "board/#"]}) as world:
                world.client._subscriptions["board/cmd/#"] = None
                node = await world.node()
                for each in ("farm/#", "#", "farm/+/#", "+/x/level", "farm/nodes/+/x", "$SYS/#"):
                    text = await refused(node.subscribe(each, Seen()))
                    self.assertEqual(text, "node pump may not subscribe to " + each)
                text = await refused(node.subscribe("board/cmd/#", Seen()))
                self.assertEqual(text, "the board itself has subscribed to board/cmd/#")
                await node.subscribe("farm/x/level", Seen())
                self.assertEqual(await node.publish("~/n"), mqnode.PUBLISHED)
                for number in range(15):
                    await node.subscribe("~/%d" % number, Seen())
                self.assertIn("at most 16", await refused(node.subscribe("~/16", Seen())))

        run(go)

    def test_a_handler_that_raises_is_counted_and_the_next_message_comes(self):
        async def go():
            async with World() as world:
                node = await world.node()
                seen = Seen()

                def handler(topic, payload, retained):
                    seen.all.append((topic, bytes(int(payload) and b"1"), retained))
                    raise ValueError

                await node.subscribe("~/in", handler)
                world.client.say("farm/nodes/pump/in", b"1")
                world.client.say("farm/nodes/pump/in", b"2")
                self.assertEqual(await node.fetch(), 2)
                self.assertEqual(node.failed, 2)

        run(go)

    def test_the_oldest_messages_go_when_the_queue_is_full(self):
        async def go():
            async with World({"queue": 3}, memory=1000) as world:
                node = await world.node()
                seen = Seen()
                await node.subscribe("~/in", seen)
                for number in range(5):
                    world.client.say("farm/nodes/pump/in", b"%d" % number)
                self.assertEqual(world.pump.dropped, 2)
                self.assertEqual(world.gateway.statistics()["nodes"]["pump"]["waiting"], 3)
                self.assertEqual(await node.fetch(), 3)
                self.assertEqual(seen.numbers(), [2, 3, 4])
                await until(lambda: not world.gateway.held)
                for number in (5, 6):
                    world.client.say("farm/nodes/pump/in", b"%d" % number + b" " * 600)
                world.client.say("farm/nodes/pump/in", bytes(2000))  # more than there is room for
                world.client.say("farm/nodes/pump/in", b"7")
                self.assertEqual(await node.fetch(), 1)
                self.assertEqual(seen.numbers()[3:], [7])
                await until(lambda: not world.gateway.held)
                self.assertEqual(
                    world.log.lines,
                    [
                        "no more room for node pump: its oldest message goes",
                        "no room for a message for node pump",
                    ],
                )

        run(go)


class TestSleepAndRestarts(unittest.TestCase):
    def test_a_node_sleeps_and_gets_what_came_meanwhile(self):
        async def go():
            mqpipe._FIRST_MS, mqnode._CHANNEL_MS = 5000, 500  # nothing is lost but time
            async with World(key=KEY, channel=2) as world:
                seen = Seen()
                state = None
                for wake in range(4):
                    node = await world.node(state=state)
                    said = len(world.air.said)
                    await node.subscribe("~/in", seen)
                    await node.publish("~/out", b"%d" % wake)
                    self.assertEqual(await node.fetch(), 2 if wake else 0)
                    if wake:  # a piece and its answer each: publish, ask, two messages, ask
                        self.assertEqual(len(world.air.said) - said, 10)
                    state = await world.sleep(node)
                    self.assertTrue(len(state) < 100)
                    for number in (2 * wake, 2 * wake + 1):
                        world.client.say("farm/nodes/pump/in", b"%d" % number)
                self.assertEqual(seen.numbers(), list(range(6)))
                self.assertEqual(world.client.numbers(), list(range(4)))

        try:
            run(go)
        finally:
            mqpipe._FIRST_MS, mqnode._CHANNEL_MS = 20, 20

    def test_a_message_whose_answer_was_lost_before_the_sleep_is_not_handled_twice(self):
        async def go():
            async with World() as world:
                node = await world.node()
                seen = Seen()
                await node.subscribe("~/in", seen)
                node._asked.set()
                await node._ask(1)
                world.air.spoil = lambda frame: frame[1] == mqpipe.DONE
                world.client.say("farm/nodes/pump/in", b"1")
                await until(lambda: seen.all)
                state = await world.sleep(node)
                world.air.spoil = None
                node = await world.node(state=state)
                await node.subscribe("~/in", seen)
                world.client.say("farm/nodes/pump/in", b"2")
                while len(seen.all) < 2:
                    await node.fetch()
                self.assertEqual(seen.numbers(), [1, 2])
                await until(lambda: world.pump.delivered == 2)

        run(go)

    def test_handlers_are_there_before_anything_is_handed_out(self):
        async def go():
            async with World() as world:
                seen = Seen()
                node = await world.node()
                await node.subscribe("~/in", seen)
                await node._ask(60)
                state = await world.sleep(node)
                world.client.say("farm/nodes/pump/in", b"1")  # it still has a window
                node = await world.node(state=state)
                await asyncio.sleep(0.1)
                await node.publish("~/out", b"1")
                await node.subscribe("~/in", seen)
                while not seen.all:
                    await node.fetch()
                self.assertEqual((seen.numbers(), node.unhandled), ([1], 0))

        run(go)

    def test_a_gateway_that_restarts_is_told_everything_again(self):
        async def go():
            for key in (None, KEY):
                async with World(key=key) as world:
                    node = await world.node()
                    seen = Seen()
                    await node.subscribe("~/in", seen)
                    await node.publish("~/out", b"1")
                    world.stop_gateway()
                    self.assertEqual(world.client._subscriptions, {})
                    world.start_gateway()
                    await node.publish("~/out", b"2")
                    world.client.say("farm/nodes/pump/in", b"3")
                    self.assertEqual(await node.fetch(), 1)
                    self.assertEqual(world.client.numbers(), [1, 2])
                    self.assertEqual(seen.numbers(), [3])

        run(go)

    def test_a_node_that_restarts_begins_anew_and_what_waited_for_it_comes(self):
        async def go():
            async with World(key=KEY) as world:
                node = await world.node()
                await node.subscribe("~/in", Seen())
                await node.publish("~/out", b"1")
                world.client.say("farm/nodes/pump/in", b"7")
                await world.sleep(node)
                seen = Seen()
                node = await world.node()
                await node.publish("~/out", b"2")
                await node.subscribe("~/in", seen)
                self.assertEqual(await node.fetch(), 1)
                self.assertEqual((seen.numbers(), world.client.numbers()), ([7], [1, 2]))

        run(go)

    def test_both_ends_restart_again_and_again_on_a_bad_radio(self):
        async def go():
            async with World(key=KEY, loss=0.1, double=0.1, reorder=0.1) as world:
                seen = Seen()
                state = None
                for wake in range(12):
                    if wake % 4 == 3:
                        world.stop_gateway()
                        world.start_gateway()
                    node = await world.node(state=state)
                    await node.subscribe("~/in", seen)
                    await node.publish("~/out", b"%d" % wake)
                    world.client.say("farm/nodes/pump/in", b"%d" % wake)
                    await node.fetch()
                    state = await world.sleep(node)
                    if wake % 3 == 2:
                        state = None
                self.assertEqual(world.client.numbers(), list(range(12)))
                self.assertEqual(seen.numbers(), list(range(12)))

        run(go)

    def test_what_is_no_state_of_ours_is_not_taken(self):
        async def go():
            async with World() as world:
                for state in (b"", b"\x01", b"\x01" * 27, b"\x01" * 29, b"\x02" * 28, b"no" * 50):
                    node = await world.node(state=state)
                    await node.publish("~/n", b"1")
                    self.assertEqual(len(node.state()) % 4, 0)
                    await world.sleep(node)
                self.assertEqual(len(world.client.broker), 6)

        run(go)

    def test_a_radio_that_is_switched_off_ends_nothing(self):
        async def go():
            async with World() as world:
                radio = world.gateway.radio
                channel, asked = radio.channel, []

                def off():
                    asked.append(1)
                    raise OSError("Wifi Not Started")

                radio.channel = off
                node = await world.node()
                publishing = asyncio.create_task(node.publish("~/n", b"1"))
                await until(lambda: asked)
                radio.channel = channel
                self.assertEqual(await publishing, mqnode.PUBLISHED)
                self.assertIn("Wifi Not Started", world.log.lines[0])

        run(go)


class EspNow:
    """Has what mqpipe.Radio needs of espnow.ESPNow."""

    def __init__(self):
        self.calls = []
        self.fails = False

    def __getattr__(self, name):
        def call(*arguments, **options):
            self.calls.append((name,) + arguments)
            if self.fails:
                raise OSError(-12391, "ESP_ERR_ESPNOW_NO_MEM")

        return call


class Wlan:
    """Has what it needs of network.WLAN."""

    def __init__(self):
        self.on = True
        self.settings = {"channel": 1, "pm": 1}

    def active(self, on=None):
        if on is not None:
            self.on = on
        return self.on

    def config(self, name=None, **settings):
        self.settings.update(settings)
        return self.settings.get(name)


class TestRadio(unittest.TestCase):
    def test_it_stays_awake_and_begins_anew_with_all_its_addresses(self):
        espnow, wlan = EspNow(), Wlan()
        radio = mqpipe.Radio(espnow, wlan)
        radio.add(PUMP, b"k" * 16)
        radio.add(PUMP)
        radio.add(GATEWAY)
        calls = [("config",), ("active", True), ("add_peer", PUMP, b"k" * 16)]
        calls += [("del_peer", PUMP), ("add_peer", PUMP), ("add_peer", GATEWAY)]
        self.assertEqual(espnow.calls, calls)
        radio.stay_awake()
        self.assertEqual((wlan.settings["pm"], espnow.calls), (0, calls))
        radio.tune(6)
        self.assertEqual(radio.channel(), 6)
        wlan.on = False
        espnow.calls = []
        radio.stay_awake()
        self.assertTrue(wlan.on)
        self.assertEqual(espnow.calls[:2], [("active", False), ("active", True)])
        self.assertEqual(sorted(espnow.calls[2:]), [("add_peer", GATEWAY), ("add_peer", PUMP)])
        espnow.calls = []
        radio.send(PUMP, b"x")
        espnow.fails = True
        radio.send(PUMP, b"y")
        radio.send(PUMP, b"y")
        self.assertEqual(espnow.calls[0], ("send", PUMP, b"x", False))
        self.assertEqual(radio.refused, 2)


class TestStrangers(unittest.TestCase):
    def test_who_is_not_named_is_ignored(self):
        async def go():
            async with World() as world:
                node = await world.node(STRANGER, patience_s=0.2)
                with self.assertRaises(mqnode.Lost):
                    await node.publish("~/n", b"1")
                self.assertEqual(world.client.broker, [])
                self.assertTrue(world.gateway.strangers > 0)
                line = "a stranger speaks ESP-NOW: 24:0a:c4:00:00:03"
                self.assertEqual(world.log.lines, [line])
                for last in range(100):
                    world.gateway.radio.put(b"\x24\x0a\xc4\x01\x00" + bytes((last,)), b"")
                await until(lambda: not world.gateway.radio.frames)
                self.assertTrue(len(world.log.lines) < 40)

        run(go)

    def test_who_has_not_the_key_is_not_spoken_to(self):
        async def go():
            for key in (None, OTHER_KEY):
                async with World(key=KEY) as world:
                    node = await world.node(key=key, patience_s=0.2)
                    with self.assertRaises(mqnode.Lost):
                        await node.publish("~/n", b"1")
                    self.assertEqual(world.client.broker, [])
                    self.assertTrue(world.pump.forged > 0)
                    self.assertEqual(
                        world.log.lines, ["not by node pump: a frame from its address"]
                    )

        run(go)

    def test_what_a_stranger_says_to_a_node_without_key_does_not_end_its_hearing(self):
        async def go():
            async with World() as world:
                node = await world.node()
                seen = Seen()
                await node.subscribe("~/in", seen)
                node._nonce = b"1234"
                for channel in (0, 99):
                    body = b"1234" + bytes((channel,))
                    kind = mqpipe.HERE | mqpipe.FROM_GATEWAY
                    frame = mqpipe.seal(None, kind, node.boot, b"12345678", body)
                    node._radio.put(STRANGER, frame)
                await until(lambda: not node._radio.frames)
                self.assertEqual((node.channel, node.gateway), (1, GATEWAY))
                head = mqpipe.struct.pack(">IBBB", node.number + 1, 0, 1, 1)
                kind = mqpipe.PIECE | mqpipe.FROM_GATEWAY
                frame = mqpipe.seal(None, kind, node.boot, node.token, head)  # an empty message
                node._radio.put(GATEWAY, frame)
                await node.fetch()
                await until(lambda: node.failed)
                world.pump.sent = node.number  # the stranger has used a number up
                world.client.say("farm/nodes/pump/in", b"1")
                while not seen.all:
                    await node.fetch()
                self.assertEqual(seen.numbers(), [1])

        run(go)

    def test_a_node_does_not_take_a_strangers_gateway(self):
        async def go():
            async with World() as world:  # it has no key
                node = await world.node(key=KEY, patience_s=0.2)
                with self.assertRaises(mqnode.Lost):
                    await node.publish("~/n", b"1")
                node = await world.node(gateway=STRANGER, patience_s=0.2)
                with self.assertRaises(mqnode.Lost):
                    await node.publish("~/n", b"1")

        run(go)

    def replay(self, world, said):
        """Say again what was said to the gateway."""
        for sender, mac, frame in said:
            if sender != GATEWAY and mac in (GATEWAY, mqpipe.EVERYBODY):
                world.gateway.radio.put(sender, frame)

    def test_what_is_replayed_does_nothing(self):
        async def go():
            async with World({"encrypt": False}, key=KEY) as world:
                node = await world.node(encrypt=False)
                await node.publish("~/n", b"1")
                await world.sleep(node)
                first = list(world.air.said)
                node = await world.node(encrypt=False)
                await node.publish("~/n", b"2")
                everything = list(world.air.said)
                for said in (first, everything, first, everything):
                    self.replay(world, said)
                    await until(lambda: not world.gateway.radio.frames)
                await asyncio.sleep(0.05)
                self.assertEqual(await node.publish("~/n", b"3"), mqnode.PUBLISHED)
                self.assertEqual(world.client.numbers(), [1, 2, 3])
                world.stop_gateway()
                world.start_gateway()
                for _ in range(3):
                    self.replay(world, everything)
                    await until(lambda: not world.gateway.radio.frames)
                await node.publish("~/n", b"4")
                self.assertEqual(world.client.numbers(), [1, 2, 3, 4])

        run(go)

    def test_what_a_broker_would_hang_up_at_is_refused(self):
        # It would hang up at the board, and for a filter after each reconnect anew.
        async def go():
            async with World({"publish": ["#"], "subscribe": ["#"]}) as world:
                node = await world.node()
                deep = "/" * 150
                for topic in ("~/a\x01", "~/a\0", "\x7f", "~/a\ufffe", "~/" + deep, deep):
                    self.assertIn("a topic of node pump", await refused(node.publish(topic)))
                    handler = Seen()
                    text = await refused(node.subscribe(topic, handler))
                    self.assertIn("a topic of node pump", text)
                for topic in ("~/" + "x" * 300, "x" * 4000):
                    self.assertIn("is the most", await refused(node.subscribe(topic, Seen())))
                self.assertEqual(world.client.broker, [])
                self.assertEqual(world.client.subscribed, [])

        run(go)

    def begin(self, world, boot):
        """Begin a session by hand, as an attacker's node does; return what it is told."""
        said = []
        world.pump.transmit = lambda kind, body: said.append((kind, body))
        world.pump._begin(boot, b"12345678")
        return said

    def piece(self, world, number, index=0, count=1):
        message = mqpipe.with_topic(bytes((mqpipe.PUBLISH, 0)), "~/n", b"%d" % number)
        head = mqpipe.struct.pack(">IBBB", number, index, count, 1)
        world.pump.take(mqpipe.PIECE, head + message)

    def test_who_does_not_wait_for_answers_has_few_messages_in_work(self):
        async def go():
            async with World() as world:
                said = self.begin(world, b"boot")
                world.client.up.clear()  # the connection is slow
                for number in range(1, 101):
                    self.piece(world, number)
                    await asyncio.sleep(0)
                self.assertEqual(len(world.gateway._tasks), 4)
                self.assertEqual(said[-1][0], mqpipe.DONE)
                self.assertEqual(said[-1][1][4], mqpipe.FULL)
                world.client.up.set()
                await until(lambda: not world.gateway._tasks)
                self.piece(world, 101)
                await until(lambda: world.client.broker[-1][1] == b"101")

        run(go)

    def test_a_message_is_not_answered_for_that_of_an_earlier_boot(self):
        async def go():
            async with World() as world:
                said = self.begin(world, b"old.")
                world.client.up.clear()
                self.piece(world, 1)
                await asyncio.sleep(0)
                said = self.begin(world, b"new.")
                self.piece(world, 1, 0, 2)  # the first half of another one
                world.client.up.set()
                await until(lambda: not world.gateway._tasks)
                self.assertEqual(len(world.client.broker), 1)
                self.assertEqual([kind for kind, _ in said], [mqpipe.HAVE])

        run(go)

    def test_frames_of_nonsense_do_nothing(self):
        async def go():
            async with World() as world:
                node = await world.node()
                await node.publish("~/n", b"1")
                session = node.boot + node.token
                for size in range(0, 250, 3):
                    for kind in range(8):
                        rest = os.urandom(size)
                        for frame in (rest, bytes((0xE1, kind)) + session + rest):
                            world.gateway.radio.put(PUMP, frame)
                            node._radio.put(GATEWAY, frame[:1] + bytes((kind | 0x80,)) + frame[2:])
                await until(lambda: not world.gateway.radio.frames)
                self.assertTrue(world.pump.malformed > 10)
                world.pump.number = 0  # nonsense may have been a number, as there is no key
                node.number = 0
                self.assertEqual(await node.publish("~/n", b"2"), mqnode.PUBLISHED)

        run(go)


class TestSettings(unittest.TestCase):
    def wrong(self, settings):
        with self.assertRaises(ValueError) as raised:
            read(settings, "farm")
        return str(raised.exception)

    def node(self, **settings):
        return {"nodes": {"pump": dict({"mac": TEXT_OF_PUMP}, **settings)}}

    def test_what_is_wrong_is_said_with_its_place(self):
        for settings in (None, {}, {"nodes": {}}, {"nodes": 3}):
            self.assertIn("nodes: name the nodes", self.wrong(settings))
        self.assertIn("mqgateway has channel; it knows nodes", self.wrong({"channel": 3}))
        self.assertIn("nodes.pump has lmk", self.wrong(self.node(lmk="x")))
        for mac in (None, "", "24:0a", "24:0a:c4:00:00:0x", "25:0a:c4:00:00:01", "1:2:3:4:5:999"):
            self.assertIn("nodes.pump.mac: as 24:", self.wrong(self.node(mac=mac)))
        for key in ("x", "00" * 15, "zz" * 16, 5):
            self.assertIn("nodes.pump.key: 32", self.wrong(self.node(key=key)))
        for queue in (0, 1001, "many"):
            self.assertIn("nodes.pump.queue: a whole number", self.wrong(self.node(queue=queue)))
        self.assertIn("keep: a whole number", self.wrong(dict(self.node(), keep=0)))
        self.assertIn("publish: a list of filters", self.wrong(self.node(publish="a/b")))
        self.assertIn("not an object", self.wrong({"nodes": {"pump": "x"}}))
        self.assertIn("a name has no", self.wrong({"nodes": {"a/b": {"mac": TEXT_OF_PUMP}}}))
        twice = {"a": {"mac": TEXT_OF_PUMP}, "b": {"mac": TEXT_OF_PUMP}}
        self.assertIn("two have the same mac", self.wrong({"nodes": twice}))
        self.assertIn("has room for 19", self.wrong(self.many(20)))
        self.assertIn("7 have a key", self.wrong(self.many(7, key=KEY)))
        self.assertEqual(len(read(self.many(19, key=KEY, encrypt=False), "farm")[0]), 19)

    def many(self, count, **settings):
        mac = "24:0a:c4:00:00:%02x"
        return {"nodes": {str(i): dict({"mac": mac % i}, **settings) for i in range(count)}}

    def test_filters_of_mqtt_are_compared_by_what_they_match(self):
        from mqgateway.settings import covers

        for pattern, wanted in (
            ("a/b", "a/b"),
            ("a/+", "a/b"),
            ("a/+", "a/+"),
            ("a/#", "a/b/+"),
            ("a/#", "a/#"),
            ("a/#", "a"),
            ("#", "a/#"),
            ("+/b", "a/b"),
            ("$SYS/#", "$SYS/x"),
        ):
            self.assertTrue(covers(pattern, wanted), (pattern, wanted))
        for pattern, wanted in (
            ("a/b", "a/+"),
            ("a/+", "a/#"),
            ("a/+", "a/b/c"),
            ("a/b/c", "a/b"),
            ("+", "#"),
            ("#", "$SYS/x"),
            ("+/x", "$SYS/x"),
            ("a/b/#", "a/#"),
        ):
            self.assertFalse(covers(pattern, wanted), (pattern, wanted))


if __name__ == "__main__":
    unittest.main()
