"""Makes the RSA keys of the tests once for each process: one takes about a second to find."""

import functools

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

_generate = rsa.generate_private_key  # as it is before a test puts `rsa_key` in its place


@functools.cache
def rsa_key(number, bits=3072):
    """Return key `number` of so many bits."""
    return _generate(65537, bits)


def private_pem(key, password=None):
    """Return a private key as PEM text, encrypted if there is a password."""
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption).decode()
