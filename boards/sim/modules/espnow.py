"""Stands in for the ESP32 port's `espnow`: signatures and errors are those of its modespnow.c and
espnow.py. Frames go through host/mqhost/sim/air.py; without one nobody hears us.
"""

import io
import select
import struct

import _bus
from micropython import const
from utime import ticks_diff, ticks_ms

MAX_DATA_LEN = 250
ADDR_LEN = 6
KEY_LEN = 16
MAX_TOTAL_PEER_NUM = 20
MAX_ENCRYPT_PEER_NUM = 6

_AIR = const(30)
_WIFI_STATUS = const(19)
_FD = const(8)
_RECORD = const("<B6s16sbB250s")
_SIZE = const(275)
_ON = const(1)
_OFF = const(2)
_SEND = const(3)
_POKE = const(4)
_FRAME = const(5)
_RESULT = const(6)
_EVERYBODY = const(b"\xff\xff\xff\xff\xff\xff")
_TIMEOUT_MS = const(300_000)
_ANSWER_MS = const(10_000)
_ENOENT = const(2)
_ETIMEDOUT = const(116)
# Of MicroPython's py/stream.h.
_STREAM_POLL = const(3)
_FILENO = const(10)
_STREAM_ERROR = const(-1)
# Of ESP-IDF's esp_now.h: 0x3064 and more.
_NOT_INIT = const((0x3065, "ESP_ERR_ESPNOW_NOT_INIT"))
_ARG = const((0x3066, "ESP_ERR_ESPNOW_ARG"))
_FULL = const((0x3068, "ESP_ERR_ESPNOW_FULL"))
_NOT_FOUND = const((0x3069, "ESP_ERR_ESPNOW_NOT_FOUND"))
_EXIST = const((0x306B, "ESP_ERR_ESPNOW_EXIST"))

_file = None  # stays open


def _raise(error):
    raise OSError(-error[0], error[1])


class ESPNow(io.IOBase):
    """The radio's end of ESP-NOW. There is one; making it again gives the same one."""

    _one = None

    def __new__(cls):
        if not ESPNow._one:
            ESPNow._one = object.__new__(cls)
            ESPNow._one._set()
        return ESPNow._one

    def _set(self):
        self._active = False
        self._rxbuf = 526
        self._timeout_ms = _TIMEOUT_MS
        self._peers = {}  # address: (key, channel, interface, encrypted)
        self._frames = []  # that came while send() waited
        self._irq = None
        self._counts = [0, 0, 0, 0, 0]
        self._data = [None, bytearray(MAX_DATA_LEN)]
        self.peers_table = {}

    def active(self, active=None):
        """Return whether it is on, or switch it."""
        global _file
        if active is not None and bool(active) != self._active:
            if active:
                if not _bus.call(_WIFI_STATUS, 2):  # no interface is active
                    raise OSError(_ENOENT)
                if _file is None and _bus.call(_AIR):
                    _file = open(_FD, "r+b", buffering=0)  # noqa: SIM115
            self._active = bool(active)
            self._peers = {}
            self._tell(_ON if active else _OFF)
        return self._active

    def config(self, *names, **settings):
        """Return "rxbuf" or "timeout_ms", or set them and "rate"."""
        for name in settings:
            if name not in ("rxbuf", "timeout_ms", "rate"):
                raise TypeError("extra keyword arguments given")
        self._rxbuf = settings.get("rxbuf", self._rxbuf)
        self._timeout_ms = settings.get("timeout_ms", self._timeout_ms)
        if not names:
            return None
        if names[0] == "rxbuf":
            return self._rxbuf
        if names[0] == "timeout_ms":
            return self._timeout_ms
        raise ValueError("unknown config param")

    def stats(self):
        """Return (packets sent, responses, failures, packets received, dropped)."""
        return tuple(self._counts)

    def irq(self, callback):
        """Take a function that is called with a packet here: only while somebody looks."""
        if callback is not None and not callable(callback):
            raise ValueError("invalid handler")
        self._irq = callback

    # Peers.

    def set_pmk(self, key):
        """Set the primary key; it changes nothing here."""
        self._require()
        _bytes(key, KEY_LEN)

    def add_peer(self, mac, lmk=None, channel=None, ifidx=None, encrypt=None):
        """Register an address."""
        self._require()
        mac = _bytes(mac, ADDR_LEN)
        if mac in self._peers:
            _raise(_EXIST)
        if len(self._peers) >= MAX_TOTAL_PEER_NUM:
            _raise(_FULL)
        self._change(mac, (bytes(KEY_LEN), 0, 0, False), lmk, channel, ifidx, encrypt)

    def mod_peer(self, mac, lmk=None, channel=None, ifidx=None, encrypt=None):
        """Change what is given."""
        mac, *facts = self.get_peer(mac)
        self._change(mac, facts, lmk, channel, ifidx, encrypt)

    def _change(self, mac, facts, lmk, channel, ifidx, encrypt):
        key, old_channel, old_ifidx, encrypted = facts
        if lmk is not None:
            encrypted = bool(lmk)
            key = _bytes(lmk, KEY_LEN) if lmk else key
        if encrypt is not None:
            encrypted = bool(encrypt)
        others = [each for each in self._peers if each != mac and self._peers[each][3]]
        if encrypted and len(others) >= MAX_ENCRYPT_PEER_NUM:
            _raise(_FULL)
        if encrypted and mac[0] & 1:
            _raise(_ARG)
        channel = old_channel if channel is None else channel
        ifidx = old_ifidx if ifidx is None else ifidx
        self._peers[mac] = key, channel, ifidx, encrypted

    def del_peer(self, mac):
        """Forget an address."""
        self._require()
        if self._peers.pop(_bytes(mac, ADDR_LEN), None) is None:
            _raise(_NOT_FOUND)

    def get_peer(self, mac):
        """Return (address, key, channel, interface, encrypted)."""
        self._require()
        mac = _bytes(mac, ADDR_LEN)
        if mac not in self._peers:
            _raise(_NOT_FOUND)
        return (mac,) + self._peers[mac]

    def get_peers(self):
        """Return that of all, but for those that stand for many."""
        self._require()
        return tuple([(mac,) + self._peers[mac] for mac in self._peers if not mac[0] & 1])

    def peer_count(self):
        """Return how many there are, and how many of them are encrypted."""
        self._require()
        return len(self._peers), len([mac for mac in self._peers if self._peers[mac][3]])

    # Frames.

    def send(self, mac, msg=None, sync=True):
        """Send a frame, to all peers without an address; return whether all got it (if `sync`)."""
        self._require()
        if msg is None:
            mac, msg = None, mac
        if not mac:
            peers = self.get_peers()
            if not peers:
                _raise(_NOT_FOUND)
        else:
            peers = (self.get_peer(mac),)
        msg = msg.encode() if isinstance(msg, str) else bytes(msg)
        if not 0 < len(msg) <= MAX_DATA_LEN:
            _raise(_ARG)
        failures = self._counts[2]
        for peer in peers:
            self._counts[0] += 1
            if not self._tell(_SEND, peer[0], peer[1] if peer[4] else bytes(KEY_LEN), msg):
                self._counts[1] += 1  # nobody is there
                self._counts[2] += peer[0] != _EVERYBODY
        if not sync:
            return True
        started = ticks_ms()
        while self._counts[1] < self._counts[0]:
            left = _ANSWER_MS - ticks_diff(ticks_ms(), started)
            if left <= 0:
                raise OSError(_ETIMEDOUT)
            frame = self._read(left)
            if frame:
                self._frames.append(frame)
        if self._frames:
            self._tell(_POKE)  # so that who polls for them sees something
        return self._counts[2] == failures

    def recvinto(self, data, timeout_ms=None):
        """Put address and frame into a list; return the size, 0 if there is none in time."""
        self._require()
        timeout_ms = self._timeout_ms if timeout_ms is None else timeout_ms
        started = ticks_ms()
        while True:
            left = -1 if timeout_ms < 0 else max(timeout_ms - ticks_diff(ticks_ms(), started), 0)
            frame = self._frames.pop(0) if self._frames else self._read(left)
            if frame:
                break
            if not left and not self._ready(0):
                return 0
        mac, rssi, when, payload = frame
        for known in self.peers_table:
            if known == mac:
                mac = known
        self.peers_table[mac] = [rssi, when]
        data[0] = mac
        if isinstance(data[1], bytearray):
            data[1][:] = payload
        else:
            data[1][: len(payload)] = payload
        if len(data) >= 4:
            data[2], data[3] = rssi, when
        return len(payload)

    def recv(self, timeout_ms=None):
        """Return [address, frame], or (None, None)."""
        size = self.recvinto(self._data, timeout_ms)
        return [bytes(each) for each in self._data] if size else (None, None)

    def irecv(self, timeout_ms=None):
        """Return the same in buffers that the next call uses again."""
        return self._data if self.recvinto(self._data, timeout_ms) else (None, None)

    def any(self):
        """Return whether a frame is there."""
        self._require()
        while not self._frames and self._ready(0):
            frame = self._read(0)
            if frame:
                self._frames.append(frame)
                self._tell(_POKE)
        return bool(self._frames)

    def __iter__(self):
        return self

    def __next__(self):
        return self.irecv()

    def ioctl(self, request, argument):
        """Answer MicroPython's stream protocol."""
        if request == _FILENO and _file:
            return _file.fileno()
        if request == _STREAM_POLL:
            return argument & select.POLLOUT
        return _STREAM_ERROR

    # The air.

    def _require(self):
        if not self._active:
            _raise(_NOT_INIT)

    def _tell(self, kind, mac=bytes(6), key=bytes(16), frame=b""):
        if not _file:
            return 0
        return _file.write(struct.pack(_RECORD, kind, mac, key, 0, len(frame), frame))

    def _ready(self, wait_ms):
        poller = select.poll()
        if _file:
            poller.register(_file, select.POLLIN)
        return bool(poller.poll(wait_ms)) if _file else False

    def _read(self, wait_ms):
        """Return (address, signal, time, frame) if that comes next, and in time; or None."""
        if not self._ready(wait_ms):
            return None
        record = _file.read(_SIZE)
        if not record or len(record) < _SIZE:
            raise SystemExit  # the air is gone
        kind, mac, key, rssi, size, frame = struct.unpack(_RECORD, record)
        if kind == _RESULT:
            self._counts[1] += 1
            self._counts[2] += not rssi
        if kind != _FRAME:
            return None
        known = self._peers.get(mac)
        if key != bytes(KEY_LEN) and not (known and known[3] and known[0] == key):
            return None  # nobody can read that
        self._counts[3] += 1
        if self._irq:
            self._irq(self)
        return mac, rssi, ticks_ms(), frame[:size]


def _bytes(value, size):
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise TypeError("object with buffer protocol required")
    if len(value) != size:
        raise ValueError("invalid buffer length")
    return bytes(value)
