"""Signs statements, and tells whose signature is on one: the DSSE envelope.

What is signed is not the payload alone but its type and both lengths with it (PAE), so that a
signature over one kind of thing is none over another: an offer begins with "{", an application's
manifest too, and this with "DSSEv1". Nothing of a payload is read before a signature is good.

Source: the Dead Simple Signing Envelope, version 1.0.2 (protocol.md, envelope.md).
"""

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace

from mqhost.attest.strict import Types, failing, fields, parse, unbase64
from mqhost.signing.keys import PublicKey, SigningKey
from mqwire.update import SIGNATURE_SIZE

PAYLOAD_TYPE = "application/vnd.in-toto+json"
_MOST_SIGNATURES = 8


@dataclass(frozen=True)
class Signature:
    """One signature: the bytes, and the name of the key as somebody says, which proves nothing."""

    key: str
    data: bytes


@dataclass(frozen=True)
class Envelope:
    """A statement's bytes, and the signatures over it; none yet, where the key is elsewhere."""

    payload: bytes
    signatures: tuple[Signature, ...] = ()

    def to_bytes(self) -> bytes:
        """Return the JSON of the envelope: compact, keys in one order."""
        record = {
            "payload": base64.b64encode(self.payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [
                {"keyid": one.key, "sig": base64.b64encode(one.data).decode()}
                for one in self.signatures
            ],
        }
        return json.dumps(record, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, data: bytes, where: str) -> "Envelope":
        """Read an envelope; ProofError, naming `where`, if it is none of ours."""
        fail = failing(where)
        types: Types = {"payload": str, "payloadType": str, "signatures": list}
        payload, kind, listed = fields(parse(data, where), types, fail, exactly=True)
        if kind != PAYLOAD_TYPE:
            fail(f"is an envelope of {kind!r:.60}, not of {PAYLOAD_TYPE}")
        if len(listed) > _MOST_SIGNATURES:
            fail(f"has {len(listed)} signatures; {_MOST_SIGNATURES} are the most there can be")
        signatures = []
        for one in listed:
            key, signature = fields(one, {"keyid": str, "sig": str}, fail, exactly=True)
            signatures.append(Signature(key, unbase64(signature, fail)))
        return cls(unbase64(payload, fail), tuple(signatures))

    def signed(self, key: SigningKey) -> "Envelope":
        """Return the same statement, signed by `key` alone."""
        signature = Signature(key.public.id, key.sign(pae(self.payload)))
        return replace(self, signatures=(signature,))

    def signer(self, keys: Iterable[PublicKey]) -> PublicKey | None:
        """Return which of `keys` has signed this; None if none has."""
        message = pae(self.payload)
        for key in keys:
            for one in self.signatures:
                if len(one.data) == SIGNATURE_SIZE and key.signed(message, one.data):
                    return key
        return None


def pae(payload: bytes, kind: str = PAYLOAD_TYPE) -> bytes:
    """Return what a signature is over: the pre-authentication encoding."""
    name = kind.encode()
    return b"DSSEv1 %d %b %d %b" % (len(name), name, len(payload), payload)
