"""Makes passwords, and hashes them as mosquitto 2 keeps them.

A line of its password file is `user:$7$iterations$salt$hash`, salt and hash in base64: PBKDF2 with
HMAC-SHA-512, a salt of 12 bytes, a hash of 64 (mosquitto_passwd(1), `-H sha512-pbkdf2`). Its file
of pre-shared keys has `user:key` lines, hexadecimal (mosquitto.conf(5), psk_file).
"""

import base64
import binascii
import hashlib
import hmac
import secrets
import string
from collections.abc import Mapping

from mqhost.errors import UsageError
from mqwire.config import PSK

# mosquitto's own number. It computes them for each connection, one after the other: a thousand
# boards that come back together must not wait for it, and nobody guesses 24 random bytes.
_ITERATIONS = 101
_SALT, _HASH, _RANDOM = 12, 64, 24  # bytes


def make_password() -> str:
    """Return a fresh password: 32 characters of URL-safe base64."""
    return secrets.token_urlsafe(_RANDOM)


def hash_password(password: str) -> str:
    """Return what stands for `password` in mosquitto's password file."""
    salt = secrets.token_bytes(_SALT)
    found = _pbkdf2(password, salt, _ITERATIONS)
    return f"$7${_ITERATIONS}${_base64(salt)}${_base64(found)}"


def is_password(password: str, hashed: str) -> bool:
    """Return whether `hashed` stands for `password`; False also where it is of another kind."""
    try:
        empty, kind, iterations, salt, wanted = hashed.split("$")
        found = _pbkdf2(password, base64.b64decode(salt, validate=True), int(iterations))
        return not empty and kind == "7" and hmac.compare_digest(found, base64.b64decode(wanted))
    except (ValueError, OverflowError, binascii.Error):
        return False


def read_passwords(text: str, where: str) -> dict[str, str]:
    """Return what stands for each user's password in a password file; UsageError for no such."""
    found = {}
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        name, separator, hashed = line.partition(":")
        if not separator or not hashed.startswith("$"):
            raise UsageError(f"{where} has a line without a hashed password, of {name!r:.40}.")
        found[name] = hashed.strip()
    return found


def write_passwords(hashes: Mapping[str, str]) -> str:
    """Return the text of a password file."""
    return "".join(f"{name}:{hashed}\n" for name, hashed in sorted(hashes.items()))


def make_key() -> str:
    """Return a fresh pre-shared key, hexadecimal."""
    return secrets.token_hex(PSK[1])


def read_keys(text: str, where: str) -> dict[str, str]:
    """Return each user's key in a file of pre-shared keys; UsageError for no such."""
    found = dict(line.partition(":")[::2] for line in text.splitlines() if line.strip())
    for name, key in found.items():
        if not name or not key or set(key) - set(string.hexdigits):
            raise UsageError(f"{where} has a line without a hexadecimal key, of {name!r:.40}.")
    return found


def write_keys(keys: Mapping[str, str]) -> str:
    """Return the text of a file of pre-shared keys."""
    return "".join(f"{name}:{key}\n" for name, key in sorted(keys.items()))


def _pbkdf2(password: str, salt: bytes, iterations: int) -> bytes:
    return hashlib.pbkdf2_hmac("sha512", password.encode(), salt, iterations, _HASH)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
