"""Keeps over a deep sleep what the next wake needs: a short JSON object in RTC memory.

It lies behind the black box's (health.lastwords), behind a zero byte and a mark, and only while the
board sleeps: the first thing a boot writes there ends it. So it is there after a sleep that began
properly, and after nothing else.
"""

import json
import struct

from micropython import const

_MARK = b"\0MQP1"
_SIZE = const(6)  # behind the mark: u16, the length; u32, a checksum
_MOST = const(1024)  # bytes of JSON; RTC memory holds 2048, and the black box has 576


def read(kept):
    """Return the record in the bytes of RTC memory, a dict; None if there is none, or half."""
    at = kept.find(_MARK)
    if at < 0 or len(kept) < at + len(_MARK) + _SIZE:
        return None
    start = at + len(_MARK)
    size, check = struct.unpack_from("<HI", kept, start)
    text = kept[start + _SIZE :]
    if len(text) != size or _sum(text) != check:
        return None
    try:
        record = json.loads(text)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def joined(box, record):
    """Return the bytes for RTC memory: those of the black box, and behind them the record.

    The lines of the log that the box has are left out: the boot that they are of ends on purpose.
    """
    text = json.dumps(record).encode()
    if len(text) > _MOST:
        text = b"{}"
    return bytes(box) + _MARK + struct.pack("<HI", len(text), _sum(text)) + text


def _sum(data):
    total = len(data)
    for byte in data:
        total = (total * 31 + byte) & 0x3FFFFFFF
    return total
