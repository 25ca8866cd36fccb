"""Stands between mqtt_as.py and our client: settings, a queue, one handler, a log."""

import asyncio
import sys
from binascii import hexlify
from collections import deque

from micropython import const

from mqboard.clock import jitter
from mqboard.mqtt import Client
from mqboard.mqtt.session import Subscription

_TLS_KEYS = ("key", "cert", "cadata", "cert_reqs", "server_hostname", "server_side", "do_handshake")
_CERT_REQUIRED = const(2)
_PATIENCE_S = const(80)  # in place of a keepalive of 0
_RX_SIZE_MIN = const(128)


class MQTTException(Exception):
    """Raised for what is not supported, and for what the broker refuses."""


async def eliza(*_):
    """Do nothing, in place of a coroutine that is not given."""


def _unique_id():
    try:
        from machine import unique_id

        return hexlify(unique_id())
    except ImportError:
        return b"mqtt_as-%08x" % jitter(1 << 30)


config = {
    "client_id": _unique_id(),
    "server": None,
    "port": 0,
    "user": "",
    "password": "",
    "keepalive": 60,
    "ping_interval": 0,
    "ssl": False,
    "ssl_params": {},
    "response_time": 10,
    "clean_init": True,
    "clean": True,
    "max_repubs": 4,
    "will": None,
    "subs_cb": lambda *_: None,
    "wifi_coro": eliza,
    "connect_coro": eliza,
    "ssid": None,
    "wifi_pw": None,
    "queue_len": 0,
    "gateway": False,
    "mqttv5": False,
    "mqttv5_con_props": None,
}
_DEFAULTS = config.copy()


class MsgQueue:
    """Queues received messages, as an asynchronous iterator. The oldest makes room in a full one,
    and is counted in `discards`.
    """

    def __init__(self, size):
        self._size = size
        self._messages = deque((), size)
        self._news = asyncio.Event()
        self.discards = 0

    def put(self, *message):
        """Add (topic, message, retained)."""
        if len(self._messages) == self._size:
            self.discards += 1
        self._messages.append(message)
        self._news.set()

    def __aiter__(self):
        return self

    async def __anext__(self):
        while not self._messages:
            self._news.clear()
            await self._news.wait()
        return self._messages.popleft()


def handler_of(base):
    """Return the class of clients that have one handler, on that of a client."""

    class OneHandler(base):
        """A client as the `settings` say. Calls deliver(topic as bytes, view, retained) for each
        message, once, however many subscriptions it matches, or none, and of whatever size."""

        def __init__(self, settings, opener, deliver, clean, will, rx_size, log):
            user = text(settings["user"]) or None
            super().__init__(
                opener,
                text(settings["client_id"]),
                user=user,
                password=settings["password"] if user else None,
                keepalive=settings["keepalive"],
                will=will,
                clean=clean,
                rx_size=max(rx_size, _RX_SIZE_MIN),
                log=log,
            )
            patience_s = min(self.keepalive or _PATIENCE_S, 2 * settings["ping_interval"] or 65535)
            self.keepalive = patience_s  # only ours; the broker was told in the packet
            self._deliver = deliver
            self._large = None  # a message that is being put together
            self.everything = Subscription(self._gather, 0, True, 0)

        def hang_up(self):
            """Break the connection, without a word to the broker."""
            self._lose(None)

        def _find_route(self, head):
            super()._find_route(head)
            self._topic = self._topic.encode()
            self._targets = (self.everything,)

        def _gather(self, topic, view, retained, position, total):
            if len(view) < total:
                if not position:
                    self._begin_large(total)
                large = self._large
                if large is None:
                    return
                large[position : position + len(view)] = view
                if position + len(view) < total:
                    return
                view = large
                self._large = None
            self._deliver(topic, view, retained)

        def _begin_large(self, total):
            self._large = None  # what the one before it may have left
            try:
                self._large = bytearray(total)
            except MemoryError:
                self.oversized += 1
                self._log.error("no memory for a message of %d bytes", total)

    return OneHandler


OneHandler = handler_of(Client)


class Log:
    """Logs what the client and the link say as debug messages."""

    def __init__(self, client):
        self.why = ""  # why the last attempt to connect failed
        self.info = self.error = client.dprint

    def warning(self, text, *values):
        self.why = str(values[0]) if values else text
        self.info(text, *values)

    def exception(self, error, text, *values):
        print(text % values)
        sys.print_exception(error)


def check(config):
    """Return the settings: `config` where it says something, else the defaults."""
    settings = _DEFAULTS.copy()
    for key in config:
        if key not in settings:
            raise ValueError("mqtt_as: there is no config['%s']" % key)
        settings[key] = config[key]
    if settings["gateway"]:
        raise MQTTException("mqtt_as: an ESP-NOW gateway (config['gateway']) is not supported")
    if settings["server"] is None:
        raise ValueError("mqtt_as: config['server'] must name the broker")
    if not 0 <= settings["keepalive"] < 65536:
        raise ValueError("mqtt_as: config['keepalive'] must be from 0 to 65535")
    for key in settings["ssl_params"]:
        if key not in _TLS_KEYS:
            raise ValueError("mqtt_as: there is no config['ssl_params']['%s']" % key)
    if settings["will"]:
        settings["will"] = _will(*settings["will"])
    return settings


def _will(topic, msg, retain=False, qos=0):
    if not topic or qos not in (0, 1, 2):
        raise ValueError("mqtt_as: config['will'] must be (topic, msg, retain, qos)")
    return text(topic), msg.encode() if isinstance(msg, str) else msg, qos, retain


def text(data):
    """Return a topic or a name, given as str or bytes, as a str."""
    return data if isinstance(data, str) else str(data, "utf-8")


def make_context_of(ssl, params):
    """Return the SSLContext for config["ssl"], which may be one, and config["ssl_params"]."""
    if hasattr(ssl, "wrap_socket"):
        return ssl
    from mqboard.net.tls import make_context

    ca = params.get("cadata")
    verify = params.get("cert_reqs", _CERT_REQUIRED if ca else 0) == _CERT_REQUIRED
    if not verify:
        print("mqtt_as: nothing proves that the broker is the right one: ssl_params has no CA")
    return make_context(ca, params.get("cert"), params.get("key"), verify)
