"""Defines limits and defaults of a board's /config.json, for the board that reads it and the host
that writes it. Times are in seconds, sizes in bytes of UTF-8; a range is (from, to).
"""

from mqwire import WireError

PLAIN_PORT = 1883
TLS_PORT = 8883
PORT = (1, 65535)
KEEPALIVE_S = (1, 65535)
# Fed once a second: a shorter watchdog would bite a board that is well.
WATCHDOG_S = (2, 86400)
HEALTH_S = 10
CONFIRM_S = 300
# With less time to confirm an update than so many times health_s, none would ever be confirmed.
LEAST_CONFIRM = 2
LOG_LEVELS = ("debug", "info", "warning", "error")

# What a board keeps a copy of in NVS, the configuration and PEM files: ESP-IDF takes no larger
# value in one piece.
MAX_KEPT = 4000

MAX_CREDENTIAL = 65535  # a user name, a password: MQTT writes a text's length in 16 bits
MAX_SSID = 32  # IEEE 802.11
PASSPHRASE = (8, 63)  # WPA2
_KEY_DIGITS = 64  # the key itself


def check_network(ssid, password):
    """Raise WireError unless there can be such a Wi-Fi network; `password` "": an open one."""
    size = _size(ssid)
    if not 0 < size <= MAX_SSID:
        raise WireError("the name '%s' has %d bytes; 1 to %d are possible" % (ssid, size, MAX_SSID))
    size = _size(password)
    least, most = PASSPHRASE
    if password and not least <= size <= most and not _is_key(password):
        raise WireError(
            "the password of '%s' has %d bytes; Wi-Fi takes %d to %d, or none for an open network"
            % (ssid, size, least, most)
        )


def check_credential(text):
    """Raise WireError if `text` is too long to be a user name or a password at a broker."""
    if _size(text) > MAX_CREDENTIAL:
        raise WireError("it has %d bytes; %d is the most" % (_size(text), MAX_CREDENTIAL))


def _size(text):
    return len(text.encode("utf-8", "surrogatepass"))


def _is_key(password):
    for digit in password.encode("utf-8", "surrogatepass"):
        if digit not in b"0123456789abcdefABCDEF":
            return False
    return len(password) == _KEY_DIGITS
