"""Holds the NVS class of `esp32`, which loads it. Signatures and errors: the port's esp32_nvs.c."""

import struct

import _bus
from micropython import const

_NVS_GET = const(10)
_NVS_SET = const(11)
_NVS_ERASE = const(12)
_I32 = const(1)
_BLOB = const(2)


class NVS:
    """A namespace of the key/value store in the nvs partition."""

    def __init__(self, namespace):
        if not 0 < len(namespace) <= 15:
            raise OSError(-0x1106, "ESP_ERR_NVS_INVALID_NAME")
        self._namespace = namespace

    def set_i32(self, key, value):
        """Keep an integer."""
        self._set(_I32, key, struct.pack("<i", value))

    def get_i32(self, key):
        """Return the integer kept under `key`."""
        return struct.unpack("<i", _bus.call(_NVS_GET, _I32, 0, self._name(key)))[0]

    def set_blob(self, key, value):
        """Keep bytes."""
        self._set(_BLOB, key, value)

    def get_blob(self, key, buffer):
        """Copy the bytes kept under `key` into `buffer`; return how many they are."""
        return _bus.call(_NVS_GET, _BLOB, 0, self._name(key), buffer)

    def erase_key(self, key):
        """Forget `key`."""
        _bus.call(_NVS_ERASE, 0, 0, self._name(key))

    def commit(self):
        """Do nothing: the chip has written it already."""

    def __repr__(self):
        return "<NVS namespace>"

    def _name(self, key):
        return ("%s\0%s" % (self._namespace, key)).encode()

    def _set(self, kind, key, value):
        if len(value) > 8000:
            raise OSError(-0x1105, "ESP_ERR_NVS_NOT_ENOUGH_SPACE")
        _bus.call(_NVS_SET, kind, 0, self._name(key) + b"\0" + value)
