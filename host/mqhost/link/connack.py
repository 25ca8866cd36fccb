"""Says why a broker refused the connection: a sentence for each CONNACK code of MQTT 3.1.1 and 5.

paho reports the codes of MQTT 3.1.1 (1 to 5) as those of MQTT 5 that mean the same.
"""

from mqhost.link.settings import Settings

_LATER = "Try again later."
_LIMITS = "See its log and its limits."
_BUG = "That should not happen: see its log."

BAD_CREDENTIALS, NOT_AUTHORIZED = 134, 135
# Some brokers answer wrong credentials with the one, some with the other (mosquitto: 135).
_CREDENTIALS = (BAD_CREDENTIALS, NOT_AUTHORIZED)

SENTENCES = {
    128: f"it gives no reason. {_LIMITS}",
    129: f"it calls our CONNECT malformed. {_BUG}",
    130: f"it calls our CONNECT a protocol error. {_BUG}",
    131: f"our CONNECT is valid, but it does not take it. {_LIMITS}",
    132: "it does not speak MQTT 3.1.1. Use a broker that does.",
    133: "it does not accept our client id, mqboard- and 12 hex digits. Its rules must allow it.",
    136: f"it is not available right now. {_LATER}",
    137: f"it is busy. {_LATER}",
    138: "it has banned this client. Whoever runs it must lift that.",
    140: "it wants a way to authenticate that mqboard does not have. Ask whoever runs it to let "
    "clients in by user name and password, or by certificate.",
    144: f"it does not accept a topic name. {_BUG}",
    149: f"it calls our CONNECT too large. {_LIMITS}",
    151: f"a quota of its is used up. {_LIMITS}",
    153: f"it does not accept a payload. {_BUG}",
    154: "it keeps no retained messages. Use a broker that does: boards leave their status so.",
    155: "it does not offer the QoS that we need, 1. Use a broker that does.",
    156: "it sends us to another server. Ask whoever runs it which, and give that: --server.",
    157: "it has moved to another server. Ask whoever runs it where, and give that: --server.",
    159: f"it gets too many connections at a time. {_LATER}",
}


def refusal(code: int, settings: Settings) -> str:
    """Return why the broker in `settings` refused us with `code`, and what to do, as sentences."""
    if code in _CREDENTIALS:
        return _credentials(settings)
    return SENTENCES.get(code, f"code {code}, which is not known here. {_LIMITS}")


def _credentials(settings: Settings) -> str:
    """Return the sentence for the credentials that `settings` have, or lack."""
    name = f"the user name {settings.username}"
    if settings.username and settings.password:
        return (
            f"it does not accept {name} with the password that was given. Check --username and "
            "MQBOARD_PASSWORD, and whether this user may connect."
        )
    if settings.username:
        return f"it does not accept {name} without a password. Give it in MQBOARD_PASSWORD."
    if settings.cert:
        return (
            f"it does not accept the client certificate {settings.cert}, or wants a user name and "
            "a password as well (--username, MQBOARD_PASSWORD)."
        )
    return (
        "it wants to know who we are. Give a user name and a password (--username, "
        "MQBOARD_PASSWORD), or a client certificate (--cert and --key)."
    )
