"""Broadcasts one image: every block once for all, then what anybody missed, until nobody does.

    offer, retained -> each board is told where -> what they need -> blocks -> what they missed …

Blocks travel at QoS 1: what a board has no time for yet, and what the network loses, is then kept
and sent again by the broker, for each board at its own speed, and costs the sender nothing. What is
missing all the same (a board was away; its queue at the broker was full) a board asks for when no
more blocks come, and that is sent for all of them at once (see mend.py).
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from mqhost.fleet.cast.listener import ASKED, LISTENING, Listener
from mqhost.fleet.cast.mend import choose
from mqhost.fleet.cast.offers import Offers
from mqhost.fleet.cast.stream import Stream
from mqhost.link.connection import Connection
from mqwire.update import bitmap_get

_BEHIND = 1.0  # seconds that are made good when we were late
_POLL = 0.05
_OFFER_EVERY = 2.0  # that the request is published, while somebody has not found it
_JOIN_QUIET = 20.0  # nobody says anything any more: who is left does not listen
_TAIL = 8  # blocks: if more of the last ones are missing, they are on their way
_DIGEST = 1.5  # after this a board has what it was sent, or it is lost
_MISSING_QUIET = 4.0  # somebody misses something, and nobody says anything else
_LONGEST = 30.0  # that somebody who misses something waits for the others: after 60 he gives up
_SLOW_QUIET = 20.0  # a board has not said a word: it writes, reads back, heard nothing, or is gone
_ROUNDS = 40


class Broadcast:
    """Sends `stream` to `listeners`, all over one connection.

    `pace`: seconds from one block to the next; None goes by the slowest board, so that their queues
    at the broker stay short. `offers` are those of all broadcasts over this connection. `ended` is
    called with each listener that is installed or has dropped out, as soon as it has, `progress`
    with (blocks done, of all) of the round that is being sent, and `check` all the time: it may
    raise to end it. `bytes_sent` counts the payloads of offers, commands and blocks, `stream_bytes`
    of these the first round's blocks, in `stream_messages`.
    """

    def __init__(
        self,
        connection: Connection,
        stream: Stream,
        listeners: Sequence[Listener],
        *,
        pace: float | None = None,
        offers: Offers | None = None,
        ended: Callable[[Listener], None] = lambda listener: None,
        check: Callable[[], None] = lambda: None,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        self.rounds = 0
        self.stream_bytes = self.stream_messages = 0
        self._sent_bytes = 0
        self._messages = 0
        self._order: list[int] = []  # blocks in the order in which they were sent
        self._patient = True  # with boards that have not received the last blocks yet
        self._final_from = 0.0  # what a board says from then on is about all that was sent
        self._block_bytes = stream.block_bytes
        self._due = 0.0
        self._offer_bytes = 0
        self._offer_at = 0.0
        self._connection = connection
        self.stream = stream
        self.listeners = listeners
        self._pace = pace
        self._slowest = 0.0
        self._offers = offers or Offers(connection)
        self._ended = ended
        self._check = check
        self._progress = progress
        self._open = list(listeners)  # who has not ended
        self._news_at = 0.0

    @property
    def bytes_sent(self) -> int:
        """How many bytes all of it was."""
        commands = sum(listener.bytes_sent for listener in self.listeners)
        return self._offer_bytes + commands + self._sent_bytes

    def run(self) -> None:
        """Return when nobody misses anything, or nobody who does says so any more: they have
        dropped out then.
        """
        self._offers.begin(self.stream)
        self._offered()
        try:
            for listener in self.listeners:
                listener.join()
            self._wait(lambda: not self._any(ASKED), lambda: _JOIN_QUIET)
            while self.rounds < _ROUNDS and (self._hungry() or self._ask_again()):
                began = time.monotonic()
                self._send_round()
                self._wait(lambda: len(self._hungry()) == len(self._open), self._patience)
                if not self._hungry():  # then what they have said meanwhile has to do
                    self._final_from, self._patient = began, False
            for listener in self._open:
                listener.drop("it did not say any more what it needs")
            self._look()
        finally:
            self._offers.end(self.stream)
            for listener in self.listeners:
                listener.close()

    # What is sent

    def _offered(self) -> None:
        self._offer_bytes += len(self.stream.request)
        self._offer_at = time.monotonic() + _OFFER_EVERY

    def _send_round(self) -> None:
        """Send what serves all who need something, once."""
        self.rounds += 1
        served = self._hungry()
        self._slowest = max(one.block_s for one in served)
        count = self.stream.offer.count
        repair = choose([one.needed for one in served], count, self._block_bytes)
        total = len(repair.blocks) + len(repair.sums)
        self._patient = True
        done = 0
        for payload, number in self.stream.messages(self._still_missing(served, repair.blocks)):
            self._progress(done, total)
            self._send(payload, number)
            done += number
        if self.rounds == 1 and done:
            self.stream_bytes, self.stream_messages = self._sent_bytes, self._messages
            self._block_bytes = self.stream_bytes / done
        for numbers in repair.sums:
            self._progress(done, total)
            self._send(self.stream.sum(numbers), 1)
            done += 1
        self._progress(total, total)
        self._final_from = time.monotonic() + _DIGEST

    def _still_missing(
        self, listeners: Iterable[Listener], numbers: Iterable[int]
    ) -> Iterator[int]:
        """Yield those of `numbers` that a listener needs by what it said last; they are sent."""
        for number in numbers:
            if any(one.under_way and bitmap_get(one.needed, number) for one in listeners):
                self._order.append(number)
                yield number

    def _send(self, payload: bytes, blocks: int) -> None:
        """Send a message when it is due."""
        while time.monotonic() < self._due:
            self._look()
            time.sleep(min(_POLL, max(0.0, self._due - time.monotonic())))
        self._due = max(self._due, time.monotonic() - _BEHIND) + blocks * (
            self._slowest if self._pace is None else self._pace
        )
        self._connection.publish(self.stream.topic, payload)
        self._sent_bytes += len(payload)
        self._messages += 1

    # What is heard

    def _ask_again(self) -> bool:
        """Send those to the stream once more who say nothing: one that has heard nothing of the
        last round has nothing to say. Return whether somebody misses something now.
        """
        for listener in self._open:
            if listener.state == LISTENING:
                listener.join_again("it did not say any more what it needs")
        self._wait(lambda: not self._any(ASKED), lambda: _JOIN_QUIET)
        self._wait(lambda: all(one.missing for one in self._open), lambda: _SLOW_QUIET)
        return bool(self._hungry())

    def _hungry(self) -> list[Listener]:
        """Return who misses something of all that was sent."""
        return [
            one
            for one in self._open
            if one.state == LISTENING and one.missing > 0 and self._final(one)
        ]

    def _final(self, listener: Listener) -> bool:
        """Return whether what it said last is about all that was sent.

        A broker keeps the order: if the last blocks of all are what it misses, they are on their
        way, and it has no time, or a slow line. To one that began to listen after all that was sent
        nothing is on its way, and it says nothing else either.
        """
        if listener.told_at < self._final_from:
            return listener.before_message == self._messages
        tail = 0
        for number in reversed(self._order[listener.before :]):
            if bitmap_get(listener.needed, number):
                tail += 1
            elif bitmap_get(listener.wanted, number):
                break  # this one has come
        return tail <= _TAIL or listener.away or not self._patient

    def _any(self, state: str) -> bool:
        return any(listener.state == state for listener in self._open)

    def _patience(self) -> float:
        """Return for how many seconds it may be quiet."""
        return _MISSING_QUIET if self._hungry() else _SLOW_QUIET

    def _wait(self, enough: Callable[[], bool], patience: Callable[[], float]) -> None:
        """Look after the listeners until it is `enough`, or there was no news for so long."""
        began = self._news_at = time.monotonic()
        while not enough() and time.monotonic() - self._news_at < patience():
            if time.monotonic() - began > _LONGEST and self._hungry():
                return
            self._look()
            time.sleep(_POLL)

    def _look(self) -> None:
        """Take what the listeners have said, and tell of those that have ended."""
        self._check()
        if time.monotonic() >= self._offer_at and self._any(ASKED):
            self._offers.again(self.stream)
            self._offered()
        for listener in self._open:
            if listener.look():
                self._news_at = time.monotonic()
            if listener.before is None and listener.state == LISTENING:
                listener.before = len(self._order)
                listener.before_message = self._messages
        ended = [listener for listener in self._open if not listener.under_way]
        self._open = [listener for listener in self._open if listener.under_way]
        for listener in ended:
            self._ended(listener)
