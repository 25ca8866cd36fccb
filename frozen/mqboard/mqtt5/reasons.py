"""Has words for the reason codes of MQTT 5 (table 2-6). Loaded when somebody is to read them."""

_REFUSALS = (  # from 0x80 on
    "unspecified error",
    "malformed packet",
    "protocol error",
    "implementation specific error",
    "unsupported protocol version",
    "client id not valid",
    "bad user name or password",
    "not authorized",
    "server unavailable",
    "server busy",
    "banned",
    "server shutting down",
    "bad authentication method",
    "keep alive timeout",
    "session taken over",
    "topic filter invalid",
    "topic name invalid",
    "packet id in use",
    "packet id not found",
    "receive maximum exceeded",
    "topic alias invalid",
    "packet too large",
    "message rate too high",
    "quota exceeded",
    "administrative action",
    "payload format invalid",
    "retain not supported",
    "QoS not supported",
    "use another server",
    "server moved",
    "shared subscriptions not supported",
    "connection rate exceeded",
    "maximum connect time",
    "subscription identifiers not supported",
    "wildcard subscriptions not supported",
)
_GRANTED = (
    (0x00, "success"),
    (0x04, "disconnected with the will"),
    (0x10, "nobody has subscribed"),
    (0x11, "no such subscription"),
)


def text(code):
    """Return what a reason code means."""
    if code >= 0x80 and code - 0x80 < len(_REFUSALS):
        return _REFUSALS[code - 0x80]
    for known, words in _GRANTED:
        if code == known:
            return words
    return "unknown reason"
