"""Offers the API of Peter Hinch's mqtt_as (0.8.3) on top of mqboard.mqtt.

An application written for mqtt_as runs with this module in its place: docs/mqtt_as.md. The client
below reconnects, subscribes again and sends again by itself; this layer turns what it does into
callbacks or into a queue, and brings up a Wi-Fi that nobody else looks after.
"""

import asyncio
import socket
import sys

from micropython import const

from mqboard import mqtt, net
from mqboard.clock import ticks_diff, ticks_ms
from mqboard.mqtt.packet import PINGREQ
from mqboard.mqtt_as_support import (
    Log,
    MQTTException,
    MsgQueue,
    OneHandler,
    check,
    make_context_of,
    text,
)
from mqboard.mqtt_as_support import config as config
from mqboard.net.stream import look_up

try:
    import network
except ImportError:
    network = None  # unix: the network is there

VERSION = (0, 8, 3)  # of the API
ESP32 = sys.platform == "esp32"
ESP8266 = RP2 = PYBOARD = False
IBUFSIZE = 1024  # bytes of the receive buffer; a larger message is put together for itself
MSG_BYTES = True  # False: `subs_cb` gets a memoryview that is valid until it returns

_WIFI_S = const(60)  # how long to wait for a network
_WATCH_MS = const(250)
_QUERY = b"mq\1\0\0\1\0\0\0\0\0\0\0\0\2\0\1"  # DNS: who serves the root?
_clients = {}  # those that are running, by client id and broker


class MQTTClient:
    """ValueError or MQTTException for a `config` that cannot be done."""

    DEBUG = False
    REPUB_COUNT = 0  # publications that had to wait for another connection
    REFUSED_COUNT = 0  # publications given up: three connections were lost at each

    def __init__(self, config):
        self._settings = settings = check(config)
        self.server = settings["server"]
        self.port = settings["port"] or (8883 if settings["ssl"] else 1883)
        self.lock = asyncio.Lock()  # for who holds it when he cancels a publish; no need to
        self._subscribed = {}  # filter -> (QoS, number of the connection)
        self._tasks = []
        self._linking = False  # one of them keeps the Wi-Fi up
        self._is_up = False
        self._name = (text(settings["client_id"]), self.server, self.port)
        self._context = None
        wired = "mqboard.net.ethernet" in sys.modules  # nobody can tell whether it is up
        self._sta_if = network.WLAN(network.STA_IF) if network and not wired else None
        self._link = None  # of our own, where nobody else looks after the Wi-Fi
        self._log = Log(self)
        self._client = self._make(settings["clean"], settings["will"])
        self._client.on_up = self._came_up
        self._deliver = settings["subs_cb"]
        if settings["queue_len"]:
            self.up = asyncio.Event()
            self.down = asyncio.Event()
            self.queue = MsgQueue(settings["queue_len"])
            self._deliver = self.queue.put

    # What applications call.

    async def connect(self, *, quick=False):
        """Connect; from then on stay connected. Raises OSError when the first attempt fails."""
        if self._tasks:
            await self.disconnect()
        if self._name in _clients:  # of a module that died, and was started again
            print("mqtt_as: another client is called %s; it ends" % self._name[0])
            _clients[self._name]._stop()
        _clients[self._name] = self
        try:
            if not self._online():
                await self.wifi_connect(quick)
            if self._settings["clean_init"] and not self._settings["clean"]:
                # Without the will: the next connection may be quicker than this one's end.
                once = self._make(True, None)
                await self._start(once)
                await once.disconnect()
                self._tasks.pop().cancel()
            await self._start(self._client)
        except BaseException:
            self._stop()
            raise
        self._tasks.append(asyncio.create_task(self._watch()))

    async def publish(self, topic, msg, retain=False, qos=0, properties=None):
        """Publish as soon as there is a connection; QoS 1 and 2: until it is acknowledged."""
        topic = text(topic)
        msg = msg.encode() if isinstance(msg, str) else msg
        client = self._client
        before = client.connects if self.isconnected() else None
        while not await client.publish(topic, msg, qos, retain, None, properties):
            if qos:  # the broker hung up at it, again and again
                self.REFUSED_COUNT += 1
                return
            await client.up.wait()
        if before not in (None, client.connects):
            self.REPUB_COUNT += 1

    async def subscribe(self, topic, qos=0, properties=None):
        """Subscribe and wait for the acknowledgement. MQTTException when the broker refuses."""
        if qos not in (0, 1, 2):
            raise ValueError("qos is %r, not 0, 1 or 2" % qos)
        topic = text(topic)
        client = self._client
        while True:
            await client.up.wait()
            had, connection = self._subscribed.get(topic, (None, 0))
            self._subscribed[topic] = (qos, client.connects)
            if had == qos and connection != client.connects and not client.session_present:
                return  # made already when we connected again; twice gives retained ones twice
            try:
                return await client.subscribe(topic, None, qos, properties=properties)
            except mqtt.MqttError:
                del self._subscribed[topic]
                if client.connected:
                    raise MQTTException("broker refuses the subscription to " + topic)
            except (OSError, asyncio.TimeoutError):
                client.hang_up()
            await client.down.wait()

    async def unsubscribe(self, topic, properties=None):
        """Unsubscribe and wait for the acknowledgement."""
        topic = text(topic)
        client = self._client
        await client.up.wait()
        if not self._subscribed.pop(topic, None):
            client.keep(topic, client.everything)  # a kept session may have it from before
        try:
            await client.unsubscribe(topic)
        except (OSError, asyncio.TimeoutError):
            client.hang_up()
            await client.down.wait()
        await client.up.wait()  # when the connection broke, the next one began with it

    def isconnected(self):
        """Return whether there is a connection."""
        if self._client.up.is_set() and not self._online():
            self._client.hang_up()  # sooner than the keepalive would
        return self._client.up.is_set()

    async def disconnect(self):
        """Leave politely: the will is not published. `connect` may be called again."""
        await self._client.disconnect()
        self._stop()
        self._went_down()

    def close(self):
        """Stop without a word to the broker; a Wi-Fi that is ours goes off, too."""
        self._stop()
        if self._link:
            self._sta_if.active(False)

    async def broker_up(self):
        """Return whether the broker answers within response_time."""
        client = self._client
        heard = client.reader.last_rx
        asked = ticks_ms()
        if self.isconnected() and ticks_diff(asked, heard) < 1000:
            return True
        try:
            while self.isconnected() and client.reader.last_rx == heard:
                if ticks_diff(ticks_ms(), asked) > self._settings["response_time"] * 1000:
                    return False
                client.writer.send_soon(bytes((PINGREQ, 0)))
                await asyncio.sleep_ms(100)
        except OSError as error:
            self.dprint("No ping: %s", error)
        return self.isconnected()

    async def wan_ok(self, packet=_QUERY, server="8.8.8.8", port=53):
        """Return whether the internet is there: a name server answers `packet` within 2 s."""
        if not self.isconnected():
            return False
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            found = await look_up(server, port, socket.SOCK_DGRAM, self._dns())
            sock.connect(found[0][-1])
            sock.send(packet)
            for _ in range(20):
                await asyncio.sleep_ms(100)
                try:
                    return sock.recv(512)[:2] == packet[:2]
                except OSError:
                    pass  # not yet
        except OSError as error:
            self.dprint("No internet: %s", error)
        finally:
            sock.close()
        return False

    def dprint(self, msg, *args):
        """Print when DEBUG is set."""
        if self.DEBUG:
            print(msg % args)

    async def wifi_connect(self, quick=False):
        """Wait for a network. Brings up the Wi-Fi of `config`, unless the board does that."""
        ssid = self._settings["ssid"]
        if ssid is not None and "mqboard.board" not in sys.modules:
            if not self._link:
                from mqboard.net.link import Link

                known = {"ssid": ssid, "password": self._settings["wifi_pw"], "static": None}
                self._link = Link(self._sta_if, "wifi", [known], self._log)
            if not self._linking:
                self._linking = True
                self._tasks.append(asyncio.create_task(self._link.run()))
        for _ in range(_WIFI_S * 10):
            if self._online():
                return
            await asyncio.sleep_ms(100)
        raise OSError(-1, "no network")

    # Towards the client below.

    def _make(self, clean, will):
        make = OneHandler
        if self._settings["mqttv5"]:
            from mqboard.mqtt5.face import make
        return make(self._settings, self._open, self._take, clean, will, IBUFSIZE, self._log)

    async def _open(self, host=None, port=None):
        if not self._tasks:
            raise asyncio.CancelledError  # see `_stop`
        if not self._online():
            await self.wifi_connect()
        settings = self._settings
        if settings["ssl"] and not self._context:
            self._context = make_context_of(settings["ssl"], settings["ssl_params"])
        name = settings["ssl_params"].get("server_hostname")
        host, port = host or self.server, port or self.port
        return await net.open_stream(host, port, self._context, name, dns=self._dns())

    async def _start(self, client):
        """Have `client` run, and wait until it is connected; OSError when it cannot connect."""
        connects = client.connects
        client.failures = 0
        self._tasks.append(asyncio.create_task(client.run()))
        while client.connects == connects:
            if client.failures:
                raise OSError(-1, self._log.why)
            await asyncio.sleep_ms(20)

    def _stop(self):
        for task in self._tasks:
            try:
                task.cancel()
            except RuntimeError:
                pass  # called by way of `subs_cb`: it is this one, and ends at the next `_open`
        self._tasks.clear()
        self._linking = False
        self._client.hang_up()
        if _clients.get(self._name) is self:
            del _clients[self._name]

    def _online(self):
        return self._sta_if is None or self._sta_if.isconnected()

    def _dns(self):
        """Return the address of the network's DNS server; "" where nothing tells."""
        server = ""
        if self._sta_if:
            server = self._sta_if.ifconfig()[3]
        elif hasattr(network, "ipconfig"):  # wired
            server = network.ipconfig("dns")
        return "" if server == "0.0.0.0" else server

    async def _watch(self):
        while True:
            await asyncio.sleep_ms(_WATCH_MS)
            if not self.isconnected():
                self._went_down()

    def _came_up(self):
        self._went_down()  # an outage too short for `_watch`
        self._is_up = True
        self.topic_alias_maximum = getattr(self._client, "topic_alias_maximum", 0)
        if self._settings["queue_len"]:
            self.up.set()
        else:
            asyncio.create_task(self._settings["wifi_coro"](True))
            asyncio.create_task(self._settings["connect_coro"](self))

    def _went_down(self):
        if self._is_up:
            self._is_up = False
            if self._settings["queue_len"]:
                self.down.set()
            else:
                asyncio.create_task(self._settings["wifi_coro"](False))

    def _take(self, topic, view, retained, *properties):
        if MSG_BYTES or self._settings["queue_len"]:
            view = bytes(view)
        self._deliver(topic, view, retained, *properties)
