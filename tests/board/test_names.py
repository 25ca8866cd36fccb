"""Tests the one rule for prefixes, topics and tails, at its limits, on both runtimes."""

import unittest

import mqwire
from mqwire import names

GOOD = (
    "a", "esp32/test", "küche/licht 1", "工場/ライン1", "a" * mqwire.MAX_PREFIX, "😀/é", "~", "¡",
    "ü" * (mqwire.MAX_PREFIX // 2), "e\u0301", "a$", "..", "\ufffd", "\ud7ff", "\ue000",
)  # fmt: skip
# What is wrong, and what the sentence has to name.
BAD = (
    ("", "empty"),
    ("a" * (mqwire.MAX_PREFIX + 1), "201 bytes in UTF-8; 200 is the most"),
    ("ü" * (mqwire.MAX_PREFIX // 2) + "a", "201 bytes in UTF-8; 200 is the most"),
    ("a/+", "+"),
    ("a/b+", "+"),
    ("#", "#"),
    ("$SYS", "$"),
    ("/a", "level is empty"),
    ("a/", "level is empty"),
    ("a//b", "level is empty"),
    ("/", "level is empty"),
    ("a\0", "U+0000"),
    ("a\nb", "U+000A"),
    ("\x1f", "U+001F"),
    ("\x7f", "U+007F"),
    ("a\x80", "U+0080"),
    ("\x9fa", "U+009F"),
    ("a\u00a0b", "U+00A0"),
    ("a\u200bb", "U+200B"),
    ("a\u202eb", "U+202E"),
    ("\ufeffa", "U+FEFF"),
    ("\ufdd0", "U+FDD0"),
    ("\uffff", "U+FFFF"),
    (str(b"\xf0\x9f\xbf\xbf", "utf-8"), "U+1FFFF"),
)


class PrefixTest(unittest.TestCase):
    def test_what_can_be_read_and_typed_is_a_prefix(self):
        for prefix in GOOD:
            names.check_prefix(prefix)

    def test_what_cannot_be_is_refused_naming_the_character_or_the_numbers(self):
        for prefix, words in BAD:
            try:
                names.check_prefix(prefix)
            except mqwire.WireError as error:
                self.assertTrue(words in str(error), (prefix, str(error)))
            else:
                self.fail(repr(prefix))

    def test_half_characters_are_refused(self):
        # MicroPython makes such text of JSON, CPython also of a command line that is no UTF-8.
        import json

        for text in (r'"a\ud800"', r'"\udfff/a"', r'"a/\udc80b"'):
            with self.assertRaises(mqwire.WireError):
                names.check_prefix(json.loads(text))

    def test_the_longest_prefix_has_room_for_the_longest_command(self):
        prefix = "ü" * (mqwire.MAX_PREFIX // 2)
        name, tail = "c" * mqwire.MAX_NAME, "/" + "t" * (mqwire.MAX_TAIL - 1)
        topic = mqwire.command_topic(prefix, name, name, tail)
        self.assertEqual(len(topic.encode()), mqwire.MAX_TOPIC)
        names.check_topic(topic)
        with self.assertRaises(mqwire.WireError):
            names.check_topic(topic + "t")
        self.assertEqual(mqwire.parse_command_topic(prefix, topic), (name, name, tail))
        others = mqwire.reply_topic, mqwire.error_topic, mqwire.blocks_topic
        for topic in [other(prefix, name) for other in others] + [
            mqwire.status_topic(prefix),
            mqwire.log_topic(prefix),
        ]:
            names.check_topic(topic)


class CommandTest(unittest.TestCase):
    def test_names_and_tails_are_taken_up_to_their_bytes(self):
        for name, tail, taken in (
            ("n" * mqwire.MAX_NAME, "", True),
            ("ü" * (mqwire.MAX_NAME // 2), "", True),
            ("n" * (mqwire.MAX_NAME + 1), "", False),
            ("ü" * (mqwire.MAX_NAME // 2) + "n", "", False),
            ("n", "t" * (mqwire.MAX_TAIL - 1), True),
            ("n", "t" * mqwire.MAX_TAIL, True),
            ("n", "t" * (mqwire.MAX_TAIL + 1), False),
            ("n", "ü" * (mqwire.MAX_TAIL // 2 + 1), False),
        ):
            for command, ident in ((name, "i"), ("c", name)):
                topic = mqwire.command_topic("p", command, ident, tail)
                parsed = mqwire.parse_command_topic("p", topic)
                self.assertEqual(parsed, (command, ident, tail) if taken else None)

    def test_a_tail_is_a_path_without_wildcards(self):
        for tail in ("", "/", "/lib/a b.py", "ü" * 127, "a" * mqwire.MAX_TAIL, "$a"):
            names.check_tail(tail)
        for tail in ("a" * (mqwire.MAX_TAIL + 1), "ü" * 128, "/a+b", "#", "a\0", "a\u202e.py"):
            with self.assertRaises(mqwire.WireError):
                names.check_tail(tail)


if __name__ == "__main__":
    unittest.main()
