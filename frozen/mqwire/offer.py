"""Says what an offer, image.json, and its signature look like, as far as both ends decide by it."""

OFFER_FORMAT = 1
# An offer's signature: RSA-3072, PKCS#1 v1.5, SHA-256, over the exact bytes of image.json.
SIGNATURE_SIZE = 384
EXPONENT = 65537
# A key goes by its name: so many hex digits of the SHA-256 of its modulus. An offer begins with its
# format and that name, where a board finds them before it parses the rest.
KEY_NAME_SIZE = 16
OFFER_BEGINNING = b'{"format":1,"key":"'
MAX_VERSION = 64  # bytes of UTF-8
