"""Stands between nodes and broker: the radio on one side, the board's MQTT client on the other."""

import asyncio

from micropython import const
from mqpipe import EVERYBODY, FULL, NOBODY, OK, WAITS, ticks_diff, ticks_ms, within

from mqboard.log import Logger
from mqgateway.node import OVERHEAD, Denied, Node

_PUBLISHED_MS = const(800)  # without the broker's word for so long a message is kept
_TELL_MS = const(60_000)  # so often each thing is worth a line
_TOLD_MAX = const(32)
_LOOK_S = const(1)


class Gateway:
    """The gateway of `nodes`, each mqgateway.settings.Facts; `client` is a mqboard.mqtt.Client.

    It keeps up to `keep` messages for the broker, and all in all `memory` bytes of messages.
    """

    held = 0  # bytes, of what waits for nodes and of what is kept for the broker
    kept = strangers = lost = 0

    def __init__(self, client, clock, radio, nodes, keep, memory):
        self.radio = radio
        self._client = client
        self._clock = clock
        self._keep = keep
        self._memory = memory
        self._log = Logger("gateway")
        self._told = {}  # what was logged: when
        self._tasks = set()
        self._ours = set()  # filters
        radio.add(EVERYBODY)
        self._nodes = {}
        for facts in nodes:
            self._nodes[facts.mac] = Node(self, facts)
            radio.add(facts.mac, facts.radio_key)

    async def run(self):
        """Take what nodes say, for ever."""
        while True:
            mac, frame = await self.radio.receive()
            node = self._nodes.get(mac)
            if node:
                try:
                    node.hear(frame)
                except Exception as error:  # for want of memory, or the radio is switched off
                    self.note("a frame was not taken: %s", repr(error))
            else:
                self.strangers += 1
                self.note("a stranger speaks ESP-NOW: %s", ":".join(["%02x" % b for b in mac]))

    async def look(self):
        """Keep the radio awake, and begin anew with it when it takes nothing more, for ever."""
        refused = self.radio.refused
        while True:
            try:
                if self.radio.refused != refused:
                    self.radio.restart()
                self.radio.stay_awake()
            except (OSError, RuntimeError) as error:
                self.note("no ESP-NOW: %s", str(error))
            refused = self.radio.refused
            for node in self._nodes.values():
                node.look()
            await asyncio.sleep(_LOOK_S)

    def end(self):
        """Let go of everything."""
        for task in list(self._tasks):
            task.cancel()
        for topic_filter in self._ours:
            self._client.drop(topic_filter)

    def spawn(self, work, *arguments):
        """Begin work that ends by itself, or with us; return its task."""

        async def run():
            try:
                await work(*arguments)
            except asyncio.CancelledError:
                raise
            except Exception as error:
                self._log.exception(error, "for a node")
            finally:
                self._tasks.discard(task)

        task = asyncio.create_task(run())
        self._tasks.add(task)
        return task

    def note(self, text, what):
        """Log a warning about `what`; the same at most once in a minute."""
        now = ticks_ms()
        key = text + what
        if key not in self._told and len(self._told) >= _TOLD_MAX:
            key = text  # a crowd of strangers is one
        if key not in self._told or ticks_diff(now, self._told[key]) >= _TELL_MS:
            self._told[key] = now
            self._log.warning(text, what)

    def time(self):
        """Return the seconds since 1970; 0 when nobody has told."""
        return self._clock.now() if self._clock.trusted else 0

    def room(self, size):
        """Return whether there is room for so many bytes more."""
        return self.held + size <= self._memory

    # The broker.

    async def publish(self, topic, payload, qos, retain):
        """Publish; return OK, WAITS, FULL, or NOBODY at QoS 0 without a broker."""
        if not qos:
            return OK if await self._client.publish(topic, payload, 0, retain) else NOBODY
        size = len(topic) + len(payload) + OVERHEAD
        if self.kept >= self._keep or not self.room(size):
            return FULL
        self.kept += 1
        self.held += size
        done = asyncio.Event()
        outcome = []

        async def work():
            try:
                outcome.append(await self._client.publish(topic, payload, 1, retain))
            finally:
                self.kept -= 1
                self.held -= size
                done.set()
            if not outcome[0]:
                self.lost += 1
                self._log.error("the broker does not take a message to %s", topic)

        self.spawn(work)
        if self._client.connected:
            await within(done, _PUBLISHED_MS)
        if not done.is_set():
            return WAITS
        if not outcome or not outcome[0]:
            raise Denied("the broker does not take a message to " + topic)
        return OK

    async def join(self, topic_filter, qos):
        """Subscribe for a node."""
        # The client has one handler for each filter. To ask it would cost all boards a method.
        if topic_filter not in self._ours and topic_filter in self._client._subscriptions:
            raise Denied("the board itself has subscribed to " + topic_filter)
        self._ours.add(topic_filter)

        def hear(topic, payload, retained):
            payload = bytes(payload)
            for node in self._nodes.values():
                if topic_filter in node.filters:
                    node.put(topic_filter, topic, payload, retained)
            return True  # before the next message it is the radio's turn

        try:
            await self._client.subscribe(topic_filter, hear, qos)
        except Exception as error:
            self._ours.discard(topic_filter)
            raise Denied(str(error))

    async def leave(self, topic_filter):
        """Unsubscribe, when no node is left that wants it."""
        if not any([topic_filter in node.filters for node in self._nodes.values()]):
            self._ours.discard(topic_filter)
            await self._client.unsubscribe(topic_filter)

    def statistics(self):
        """Return how it goes, as a dict."""
        told = {"kept": self.kept, "held": self.held, "strangers": self.strangers}
        told["lost"], told["radio"] = self.lost, self.radio.refused
        told["nodes"] = nodes = {}
        for node in self._nodes.values():
            facts = {"waiting": len(node.queue), "seen_s": None}
            if node.seen is not None:
                facts["seen_s"] = ticks_diff(ticks_ms(), node.seen) // 1000
            for name in ("published", "delivered", "dropped", "refused", "repeated", "forged"):
                facts[name] = getattr(node, name)
            nodes[node.facts.name] = facts
        return told
