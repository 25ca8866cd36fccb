"""Makes what is sent in a broadcast: the request that all boards fetch, its topic, and the blocks.

The topic ends with a name made of the request's SHA-256. So a board that was told the topic knows
which request it means, and senders of the same image share the stream.
"""

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence

from mqhost.fleet.cast.mend import pack_sum
from mqhost.signing.offer import Offer, block_of
from mqhost.update.blocks import Encoder
from mqhost.update.delta import differences
from mqwire import blocks_topic, update

PROTOCOL = 3  # from which on boards know of broadcasts


class Stream:
    """`app`, which `offer` describes, for all boards that run `base`, or with None whatever.

    Raises WireError if the offer is too long to be sent.
    """

    def __init__(
        self,
        offer: Offer,
        app: bytes,
        base: bytes | None = None,
        *,
        retry_failed: bool = False,
        root: str = update.STREAM_ROOT,
    ) -> None:
        options: dict[str, object] = {}
        if base is not None:
            options["base"] = hashlib.sha256(base).hexdigest()
        if retry_failed:
            options["retry_failed"] = True
        text = json.dumps(options, separators=(",", ":")).encode()
        self.offer = offer
        self.request = update.pack_request(offer.to_bytes(), offer.signature, text)
        digest = base64.b64encode(hashlib.sha256(self.request).digest())
        self.topic = blocks_topic(root, update.stream_name(digest))
        self.offer_topic = self.topic + update.STREAM_OFFER
        # What a block takes, as a rule: measured on images of ESP32 boards.
        self.block_bytes = 2900.0 if base is None else 100.0
        self._app = app
        self._encoder = Encoder(app, None if base is None else differences(base, app))

    def command(self) -> bytes:
        """Return the body of the command that sends a board here."""
        options = json.dumps({"stream": self.topic}, separators=(",", ":"), ensure_ascii=False)
        return update.pack_request(b"", b"", options.encode())

    def messages(self, numbers: Iterable[int]) -> Iterator[tuple[bytes, int]]:
        """Yield (payload, number of blocks in it) for the blocks `numbers`."""
        return self._encoder.messages(numbers)

    def sum(self, numbers: Sequence[int]) -> bytes:
        """Return the message with the sum of the blocks `numbers`."""
        return pack_sum(numbers, [block_of(self._app, number) for number in numbers])
