"""Tests the properties of MQTT 5 (2.2.2): written, read, and refused where they are none."""

import unittest

from mqboard.mqtt5 import properties as props
from mqboard.mqtt5.properties import Fault, decode, encode, span

EVERYTHING = {
    props.PAYLOAD_FORMAT: 1,
    props.MESSAGE_EXPIRY: 0xFFFFFFFF,
    props.CONTENT_TYPE: "text/plain",
    props.RESPONSE_TOPIC: "a/ä",
    props.CORRELATION_DATA: b"\0\xff",
    props.TOPIC_ALIAS: 65535,
    props.USER: [("k", "1"), ("k", "2"), ("", "")],
}


def read(data, place=props.IN_PUBLISH):
    """Return what is in `data`, properties with their length."""
    found = {}
    start, stop = span(data, 0, len(data))
    assert stop == len(data)
    decode(data, start, stop, place, found)
    return found


class EncodeTest(unittest.TestCase):
    def test_what_is_written_is_read_again(self):
        data = encode(EVERYTHING, props.IN_PUBLISH)
        self.assertEqual(read(data), EVERYTHING)
        self.assertEqual(encode({}, props.IN_PUBLISH), b"\0")
        self.assertEqual(encode(None, props.IN_CONNECT), b"\0")

    def test_the_bytes_are_those_of_the_standard(self):
        self.assertEqual(encode({props.MESSAGE_EXPIRY: 258}, 4), b"\x05\x02\0\0\x01\x02")
        self.assertEqual(encode({props.USER: {"a": "b"}}, 4), b"\x07\x26\0\x01a\0\x01b")
        self.assertEqual(encode({props.SUBSCRIPTION_ID: 321}, 16), b"\x03\x0b\xc1\x02")

    def test_properties_longer_than_127_bytes_have_a_longer_length(self):
        for size in (122, 125, 126, 16380, 16381):
            given = {props.CORRELATION_DATA: bytes(size)}
            data = encode(given, props.IN_PUBLISH)
            self.assertEqual(len(data), size + 3 + (1 if size < 125 else 2 if size < 16381 else 3))
            self.assertEqual(read(data), given)

    def test_what_cannot_be_is_named(self):
        for given in (
            {props.SESSION_EXPIRY: 1},
            {props.ASSIGNED_CLIENT_ID: "x"},
            {0x99: 1},
            {0: 1},
            {"user": {}},
            {props.PAYLOAD_FORMAT: 2},
            {props.MESSAGE_EXPIRY: -1},
            {props.MESSAGE_EXPIRY: 1 << 32},
            {props.MESSAGE_EXPIRY: "1"},
            {props.MESSAGE_EXPIRY: True},
            {props.TOPIC_ALIAS: 0},
            {props.CONTENT_TYPE: b"bytes"},
            {props.CONTENT_TYPE: "nul\0"},
            {props.CONTENT_TYPE: "x" * 65536},
            {props.CORRELATION_DATA: "text"},
            {props.USER: [("one",)]},
            {props.USER: 5},
            {props.USER: {"a": 1}},
        ):
            with self.assertRaises(ValueError):
                encode(given, props.IN_PUBLISH)


class DecodeTest(unittest.TestCase):
    def fault(self, data, place=props.IN_PUBLISH):
        """Return the reason for which we hang up at these properties."""
        with self.assertRaises(Fault) as caught:
            read(data, place)
        return caught.exception.code

    def test_the_same_one_twice_is_a_protocol_error(self):
        for one in (b"\x01\x01", b"\x02\0\0\0\1", b"\x03\0\0", b"\x09\0\0", b"\x23\0\1"):
            self.assertEqual(self.fault(bytes((2 * len(one),)) + one * 2), 0x82)
        for one in (b"\x26\0\0\0\0", b"\x0b\x05"):
            read(bytes((2 * len(one),)) + one * 2)
        self.assertEqual(self.fault(b"\x04\x24\0\x24\0", props.IN_CONNACK), 0x82)

    def test_values_that_the_standard_excludes(self):
        self.assertEqual(self.fault(b"\x02\x01\x02"), 0x82)
        self.assertEqual(self.fault(b"\x03\x23\0\0"), 0x94)
        self.assertEqual(self.fault(b"\x02\x0b\0"), 0x82)
        self.assertEqual(self.fault(b"\x03\x21\0\0", props.IN_CONNACK), 0x82)
        self.assertEqual(self.fault(b"\x05\x27\0\0\0\0", props.IN_CONNACK), 0x82)
        for topic in (b"a/#", b"+", b""):
            data = b"\x08" + bytes((0, len(topic))) + topic
            self.assertEqual(self.fault(bytes((len(data),)) + data), 0x82)

    def test_what_is_cut_short_or_none_is_malformed(self):
        for data in (
            b"\x01\x01",
            b"\x02\x02\0",
            b"\x03\x03\0\5",
            b"\x04\x09\0\2x",
            b"\x05\x26\0\1a\0",
            b"\x02\x0b\xff",
            b"\x05\x0b\xff\xff\xff\xff",
            b"\x02\x7f\0",
            b"\x02\xff\0",
            b"\x02\0\0",
            b"\x02\x15\0",
            b"\x03\x21\0\1",
            b"\x04\x03\0\1\xff",
            b"\x04\x03\0\1\0",
        ):
            self.assertEqual(self.fault(data), 0x81)

    def test_lengths_that_do_not_fit(self):
        for data in (b"", b"\x80", b"\xff\xff\xff\xff\x01", b"\x02\x01", b"\xff\xff\xff\x7f"):
            with self.assertRaises(Fault):
                span(data, 0, len(data))

    def test_of_endless_user_properties_only_some_are_kept(self):
        found = {}
        decode(b"\x26\0\0\0\0" * 900, 0, 4500, props.IN_PUBLISH, found)
        self.assertEqual(len(found[props.USER]), 32)

    def test_each_property_belongs_into_its_packets(self):
        for place, idents in (
            (props.IN_CONNECT, (0x11, 0x17, 0x19, 0x21, 0x22, 0x26, 0x27)),
            (props.IN_PUBLISH, (0x01, 0x02, 0x03, 0x08, 0x09, 0x0B, 0x23, 0x26)),
            (props.IN_ANSWER, (0x1F, 0x26)),
            (props.IN_SUBSCRIBE, (0x0B, 0x26)),
            (props.IN_UNSUBSCRIBE, (0x26,)),
            (props.IN_DISCONNECT, (0x11, 0x1C, 0x1F, 0x26)),
            (props.IN_WILL, (0x01, 0x02, 0x03, 0x08, 0x09, 0x18, 0x26)),
        ):
            known = [ident for ident in range(256) if props._kind(ident, place)]
            self.assertEqual(tuple(known), idents)


if __name__ == "__main__":
    unittest.main()
