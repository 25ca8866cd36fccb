"""Decides what a prefix, a topic and a version may be: one rule for the board and for the host.

They are text that every broker takes and that a person can read and type: no wildcards, nothing
that does not show. Sizes are in bytes of UTF-8. Each check raises WireError with the end of a
sentence that names the character, or the numbers.

Sources: MQTT 3.1.1, 4.7 (topics) and 1.5.3 (characters that a broker may hang up at).
"""

from mqwire import MAX_PREFIX, MAX_TAIL, MAX_TOPIC, WireError

# From, to: characters that do not show, or that look like a space and are none.
_UNSEEN = (
    (0x0000, 0x001F),
    (0x007F, 0x00A0),
    (0x00AD, 0x00AD),
    (0x2000, 0x200F),
    (0x2028, 0x202F),
    (0x205F, 0x206F),
    (0x3000, 0x3000),
    (0xD800, 0xDFFF),  # surrogates, no characters by themselves
    (0xFDD0, 0xFDEF),  # no characters, and so are the last two of each 65,536
    (0xFEFF, 0xFEFF),
    (0xE0000, 0xE007F),
    (0x110000, 0x1FFFFF),  # more than Unicode has
)


def check_prefix(prefix):
    """Raise WireError unless `prefix` can be the root of a board's topics, of all of them."""
    check_text(prefix, MAX_PREFIX)
    check_topic(prefix)
    if "//" in "/" + prefix + "/":
        raise WireError("a level is empty; write it like esp32/test, without slashes around it")


def check_topic(topic):
    """Raise WireError unless one can publish to `topic`, and subscribe to it alone."""
    _check_levels(topic, MAX_TOPIC)
    if topic.startswith("$"):
        raise WireError("it begins with $, which is for the broker's own topics")


def check_tail(tail):
    """Raise WireError unless `tail` can be that of a command's topic; "" is none."""
    if tail:
        _check_levels(tail, MAX_TAIL)


def _check_levels(text, most):
    check_text(text, most)
    for wildcard in ("+", "#"):
        if wildcard in text:
            raise WireError("it has %s in it, a wildcard of MQTT" % wildcard)


def check_text(text, most):
    """Raise WireError unless `text` has 1 to `most` bytes, of characters that show."""
    data = text.encode("utf-8", "surrogatepass")
    if not data:
        raise WireError("it is empty")
    if len(data) > most:
        raise WireError("it has %d bytes in UTF-8; %d is the most" % (len(data), most))
    # Not its characters: MicroPython would keep each of them for ever.
    code = 0x20
    for byte in data:
        if byte & 0xC0 == 0x80:
            code = code << 6 | byte & 0x3F
            continue
        _check_character(code)
        code = byte if byte < 0x80 else byte & (0x1F if byte < 0xE0 else 0x0F if byte < 0xF0 else 7)
    _check_character(code)


def _check_character(code):
    for first, last in _UNSEEN:
        if first <= code <= last:
            break
    else:
        if code & 0xFFFE != 0xFFFE:
            return
    raise WireError("it has U+%04X in it, which does not show" % code)
