"""Puts tags behind the messages of commands, for boards that take no others (mqwire.auth).

The board says in `auth` whether it wants tags, made with which key and which nonce: in its status,
and when it refuses a command.
"""

import hashlib
import secrets
import threading
from typing import Any

from mqhost.errors import RefusedError
from mqwire import auth

_WHERE = "MQBOARD_AUTH_KEY, or auth_key in mqboard.toml"


class Signer:
    """Knows the keys, and numbers the messages of one session; from any thread."""

    def __init__(self, *keys: str) -> None:
        self._makers: dict[str, auth.Maker] = {}
        self._lock = threading.Lock()
        self._nonce = b""
        self._sender = b""
        self._number = 0
        for key in keys:
            maker = auth.Maker(hashlib.sha256, key)
            self._makers[maker.name()] = maker

    @property
    def room(self) -> int:
        """How many bytes a message may become longer."""
        return auth.TRAILER_SIZE if self._makers else 0

    def sealed(self, wanted: Any, topic: str, message: bytes) -> bytes:
        """Return `message` to `topic` as the board takes it that says `wanted` in `auth`.

        RefusedError, before anything is sent, when it wants tags of a key that we have not.
        """
        if not isinstance(wanted, dict):
            return message
        maker = self._makers.get(str(wanted.get("key")))
        if maker is None:
            raise RefusedError(self.refusal(wanted))
        nonce = nonce_of(wanted)
        with self._lock:
            if nonce != self._nonce:
                self._nonce, self._number = nonce, 0
                self._sender = secrets.token_bytes(auth.SENDER_SIZE)
            self._number += 1
            return message + maker.trailer(nonce, topic, message, self._sender, self._number)

    def refusal(self, wanted: Any) -> str:
        """Say why the board that says `wanted` in `auth` takes no command from us."""
        key = str(wanted.get("key")) if isinstance(wanted, dict) else ""
        need = "The board takes commands only with a tag of its key, auth.key"
        need += f" ({key:.16}) of its configuration" if key else " of its configuration"
        if not self._makers:
            return f"{need}, and there is no key here: set {_WHERE}."
        if key not in self._makers:
            return f"{need}; the one here is another ({' and '.join(self._makers)}). Set {_WHERE}."
        return f"{need}, and has refused ours, though the key is the same. Try again."


def nonce_of(wanted: Any) -> bytes:
    """Return the nonce that a board tells in `auth`; b"" if it tells none."""
    try:
        return bytes.fromhex(str(wanted["nonce"])) if isinstance(wanted, dict) else b""
    except (KeyError, ValueError):
        return b""
