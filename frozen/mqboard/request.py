"""Holds a command while its parts arrive and its handler works, and takes its replies back."""

import io
import sys

from micropython import const

import mqwire

_MAX_ERROR = const(2048)


class Request:
    """One command as its handler sees it: `tail`, `body` (bytes-like), and the way back."""

    def __init__(self, router, command, ident, tail):
        self._router = router
        self.prefix = router.prefix
        self.command = command
        self.ident = ident
        self.tail = tail
        self.body = bytearray()
        self.parts = 0  # parts received so far
        self.age = 0  # calls of Router.age since the last of them
        self.sequence = 0  # of the next reply message
        self.answer = None  # (topic function, payload) when there is only this to say

    def take(self, sequence, data):
        """Add a part to the body; return as text what is wrong with it, None if nothing is."""
        if sequence > self.parts:
            return b"protocol error: part %d is missing" % self.parts
        if len(self.body) + len(data) > mqwire.MAX_BODY:
            return b"command is longer than %d bytes" % mqwire.MAX_BODY
        self.body.extend(data)
        self.parts += 1
        self.age = 0
        return None

    async def reply(self, data=b"", last=True, qos=1):
        """Send one reply message; `data` at most mqwire.MAX_PAYLOAD - 2 bytes."""
        payload = mqwire.header(self.sequence, last) + data
        self.sequence += 1
        if last:
            self._router.remember(self.ident, (mqwire.reply_topic, payload))
        topic = mqwire.reply_topic(self.prefix, self.ident)
        return await self._router.publish(topic, payload, qos)

    def reply_now(self, data, publish=None):
        """Send one reply message, not the last, from code that cannot await; raises OSError."""
        payload = mqwire.header(self.sequence, False) + data
        publish = publish or self._router.publish_now
        publish(mqwire.reply_topic(self.prefix, self.ident), payload)
        self.sequence += 1  # now: Ctrl-C may have broken in before the message was made

    async def error(self, text):
        """Answer with an error: `text` is bytes for a person to read."""
        self._router.remember(self.ident, (mqwire.error_topic, text))
        topic = mqwire.error_topic(self.prefix, self.ident)
        return await self._router.publish(topic, text[:_MAX_ERROR], 1)


def traceback(error):
    """Return the traceback of `error` as bytes, cut in front when it is long."""
    text = io.BytesIO()
    sys.print_exception(error, text)
    return text.getvalue()[-_MAX_ERROR:]
