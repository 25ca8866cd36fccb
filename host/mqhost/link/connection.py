"""Keeps the connection to the broker: paho-mqtt 2 behind plain methods and BrokerError sentences.

paho's network thread calls the short callbacks here, which route what arrived to the function that
subscribed to its topic. A lost connection comes back by itself, with all its subscriptions; paho
sends again what the broker has not acknowledged.
"""

import secrets
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from mqhost.errors import BrokerError
from mqhost.link import unreachable
from mqhost.link.connack import refusal
from mqhost.link.settings import Settings
from mqhost.link.trace import describe

KEEPALIVE = 30  # seconds
RECONNECT_DELAYS = (0.2, 10)  # seconds: the first, and the longest
CONNECT_TIMEOUT = 10.0
_CLOSE_TIMEOUT = 1.0

Route = Callable[[bytes, bool], None]


class Subscription:
    """Topics that belong together, each with the function that gets (payload, retained)."""

    qos = 1

    def __init__(self, routes: dict[str, Route]) -> None:
        self.routes = routes
        self.granted = False
        self.refused = False

    @property
    def filters(self) -> list[str]:
        """What the broker is asked for."""
        return list(self.routes)

    def answered(self, failures: list[bool]) -> None:
        """Take the broker's answer: of each filter, whether it refuses it."""
        self.refused = any(failures)
        self.granted = not self.refused

    def __str__(self) -> str:
        return ", ".join(self.routes)


class Wide(Subscription):
    """Filters with wildcards, for topics of many boards: `hear` gets (topic, payload, retained).

    It hears everything that comes, whoever asked for it, and has to pick. At QoS 0: a broker
    queues a limited number of messages at QoS 1, and of thousands of retained ones drops the rest.
    """

    qos = 0

    def __init__(
        self, name: str, filters: list[str], hear: Callable[[str, bytes, bool], None]
    ) -> None:
        super().__init__({})
        self._name = name
        self._filters = filters
        self.hear = hear

    @property
    def filters(self) -> list[str]:
        return self._filters

    def answered(self, failures: list[bool]) -> None:
        """Take the broker's answer; it may grant a part, as those that are not too deep for it."""
        self.refused = all(failures)
        self.granted = not self.refused

    def __str__(self) -> str:
        return self._name


class Connection:
    """A connection to the broker in `settings`.

    `debug` is called with lines about the traffic, from any thread. `will`: a topic, and what the
    broker retains there when we vanish. `version5`: speak MQTT 5, as for shared subscriptions; else
    it is MQTT 3.1.1, which every broker knows.
    """

    def __init__(
        self,
        settings: Settings,
        debug: Callable[[str], None] | None = None,
        will: tuple[str, bytes] | None = None,
        *,
        version5: bool = False,
    ) -> None:
        self.settings = settings
        self._will = will
        self.generation = 0  # how many times the broker has accepted us
        self.failure: str | None = None  # why it did not, the last time
        self._debug = debug
        self._began = time.monotonic()
        self._changed = threading.Condition()
        self._connected = False
        self._subscriptions: list[Subscription] = []
        self._routes: dict[str, list[Route]] = {}  # several sessions may be with one board
        self._asked: dict[int, Subscription] = {}
        self._client = self._make_client(version5)

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted us and the connection stands."""
        return self._connected

    def connect(self) -> None:
        """Connect and wait until the broker accepted us; BrokerError if that fails."""
        where = self.settings.where
        self.debug("connecting to %s", where)
        try:
            self._client.connect(self.settings.server, self.settings.port, KEEPALIVE)
        except (OSError, ValueError) as error:
            raise BrokerError(unreachable.reason(error, self.settings)) from error
        try:
            self._client.loop_start()
            with self._changed:
                self._changed.wait_for(lambda: self._connected or self.failure, CONNECT_TIMEOUT)
                if not self._connected:
                    reason = self.failure or f"no answer within {CONNECT_TIMEOUT:.0f} s."
                    raise BrokerError(f"The broker {where} refused the connection: {reason}")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Disconnect and end the network thread; no error if there is no connection."""
        self._client.disconnect()
        with self._changed:
            gone = self._changed.wait_for(lambda: not self._connected, _CLOSE_TIMEOUT)
        stream = self._client.socket()
        if not gone and stream is not None:
            # The broker takes nothing any more: don't wait for it to read our goodbye.
            with _socket_of(stream) as raw:
                raw.shutdown(socket.SHUT_RDWR)
        self._client.loop_stop()
        # The pair that wakes the network thread, which paho leaves to the garbage collector.
        self._client._reset_sockets(sockpair_only=True)

    def wait_connected(self, timeout: float) -> bool:
        """Return whether the connection stands, or came back within `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self._connected, timeout)

    def debug(self, text: str, *values: object) -> None:
        """Say something about the traffic to whoever wants it."""
        if self._debug:
            self._debug(text % values)

    def _trace(
        self, direction: str, topic: str, payload: bytes | bytearray, retained: bool
    ) -> None:
        """Tell of a message, with the seconds since the beginning."""
        if self._debug:
            passed = time.monotonic() - self._began
            self._debug(f"{passed:7.3f} {direction} {describe(topic, bytes(payload), retained)}")

    def register(self, subscription: Subscription) -> None:
        """Subscribe as soon as there is a connection, without waiting for the answer."""
        with self._changed:
            self._subscriptions.append(subscription)
            for topic, route in subscription.routes.items():
                self._routes[topic] = [*self._routes.get(topic, ()), route]
            if self._connected:
                self._ask(subscription)

    def subscribe(self, subscription: Subscription) -> None:
        """Subscribe and wait until the broker granted it; BrokerError if it does not."""
        self.register(subscription)
        with self._changed:
            self._changed.wait_for(
                lambda: subscription.granted or subscription.refused, self.settings.timeout
            )
            if subscription.granted:
                return
        self.unsubscribe(subscription)
        if subscription.refused:
            raise BrokerError(
                f"The broker {self.settings.where} does not let us listen on {subscription}. "
                "Its access rules must allow this user to."
            )
        raise BrokerError(f"The broker {self.settings.where} does not answer any more.")

    def unsubscribe(self, subscription: Subscription) -> None:
        """Stop listening; does not wait for the broker. What others listen to as well, stays."""
        with self._changed:
            if subscription not in self._subscriptions:
                return
            self._subscriptions.remove(subscription)
            for topic, route in subscription.routes.items():
                if left := [other for other in self._routes.get(topic, ()) if other != route]:
                    self._routes[topic] = left
                else:
                    self._routes.pop(topic, None)
            wanted = {one for other in self._subscriptions for one in other.filters}
            unwanted = [one for one in subscription.filters if one not in wanted]
            if self._connected and unwanted:
                self._client.unsubscribe(unwanted)

    def publish(
        self, topic: str, payload: bytes, qos: int = 1, retain: bool = False
    ) -> paho.MQTTMessageInfo:
        """Send a message; with QoS 1 it survives a lost connection. Does not wait."""
        self._trace(">", topic, payload, retain)
        return self._client.publish(topic, payload, qos, retain)

    # Callbacks in paho's network thread

    def _on_socket_open(self, client: Any, userdata: Any, stream: Any) -> None:
        with _socket_of(stream) as raw:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _on_connect(
        self, client: Any, userdata: Any, flags: Any, reason: ReasonCode, properties: Any
    ) -> None:
        with self._changed:
            if reason.is_failure:
                self.failure = refusal(reason.value, self.settings)
            else:
                self._connected, self.failure = True, None
                self.generation += 1
                self._asked.clear()
                for subscription in self._subscriptions:
                    self._ask(subscription)
            self._changed.notify_all()
        self.debug("connected: %s", reason)

    def _on_disconnect(
        self, client: Any, userdata: Any, flags: Any, reason: ReasonCode, properties: Any
    ) -> None:
        with self._changed:
            if not self._connected and not self.failure:
                self.failure = unreachable.closed(self.settings)
            self._connected = False
            self._changed.notify_all()
        self.debug("disconnected: %s", reason)

    def _on_subscribe(
        self, client: Any, userdata: Any, mid: int, reasons: list[ReasonCode], properties: Any
    ) -> None:
        with self._changed:
            subscription = self._asked.pop(mid, None)
            if subscription:
                subscription.answered([reason.is_failure for reason in reasons])
                self._changed.notify_all()

    def _on_message(self, client: Any, userdata: Any, message: paho.MQTTMessage) -> None:
        try:
            topic = message.topic  # is decoded at each look
        except UnicodeDecodeError:  # no topic that MQTT allows, so none of ours
            return
        payload = bytes(message.payload)
        self._trace("<", topic, payload, message.retain)
        # First who looks at many boards: whom a session wakes finds what they know now.
        for subscription in list(self._subscriptions):
            if isinstance(subscription, Wide):
                subscription.hear(topic, payload, message.retain)
        for route in self._routes.get(topic, ()):
            route(payload, message.retain)

    # Helpers

    def _make_client(self, version5: bool) -> paho.Client:
        settings = self.settings
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id="mqboard-" + secrets.token_hex(6),
            clean_session=None if version5 else True,  # MQTT 5 has no such thing
            protocol=MQTTProtocolVersion.MQTTv5 if version5 else MQTTProtocolVersion.MQTTv311,
            transport="websockets" if settings.path else "tcp",
        )
        if settings.path:
            client.ws_set_options(settings.path)
        if self._will:
            client.will_set(*self._will, qos=1, retain=True)
        client.connect_timeout = CONNECT_TIMEOUT
        client.reconnect_delay_set(*RECONNECT_DELAYS)  # type: ignore[arg-type]
        if settings.username:
            client.username_pw_set(settings.username, settings.password or None)
        if settings.tls:
            client.tls_set_context(tls_context(settings))
        client.on_socket_open = self._on_socket_open
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        return client

    def _ask(self, subscription: Subscription) -> None:
        """Send the SUBSCRIBE; the lock is held, so that its answer cannot come too early."""
        wanted = [(topic_filter, subscription.qos) for topic_filter in subscription.filters]
        _, mid = self._client.subscribe(wanted)
        if mid is not None:
            self._asked[mid] = subscription


def tls_context(settings: Settings) -> ssl.SSLContext:
    """Make a context that verifies the broker; BrokerError naming the file that cannot be used."""
    try:
        context = ssl.create_default_context(cafile=settings.ca or None)
    except OSError as error:
        raise BrokerError(f"The CA file {settings.ca} cannot be used: {error}.") from error
    try:
        if settings.cert:
            context.load_cert_chain(settings.cert, settings.key)
    except OSError as error:
        raise BrokerError(
            f"The client certificate {settings.cert} with key {settings.key} cannot be used: "
            f"{error}."
        ) from error
    return context


def _socket_of(stream: Any) -> socket.socket:
    """Return another handle of the connection under `stream`: TLS and WebSockets lack methods."""
    return socket.fromfd(stream.fileno(), socket.AF_INET, socket.SOCK_STREAM)
