"""Says why no connection to the broker came about: from an error to a sentence that helps.

What the broker itself answers is in connack.py. OpenSSL's codes are those of X509_V_ERR_… in
x509_vfy.h.
"""

import errno
import socket
import ssl
from datetime import UTC, datetime

from paho.mqtt.client import WebsocketConnectionError

from mqhost.link.settings import FILE, Settings
from mqhost.paths import TASK

_NOT_YET, _EXPIRED = 9, 10
_OTHER_NAME, _OTHER_ADDRESS = 62, 64
# What OpenSSL says of an answer that is no TLS.
_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNEXPECTED_MESSAGE", "PACKET_LENGTH")


def reason(error: OSError | UnicodeError | ValueError, settings: Settings) -> str:
    """Return what went wrong on the way to the broker in `settings`, and what to do."""
    where = settings.where
    if isinstance(error, ssl.SSLCertVerificationError):
        return _certificate(error, settings)
    if isinstance(error, ssl.SSLError) or (
        settings.tls and isinstance(error, ConnectionResetError)
    ):
        return _tls(error, settings)
    if isinstance(error, WebsocketConnectionError):
        other = "without TLS, ws://" if settings.tls else "with TLS, wss://"
        return (
            f"{where} is no WebSocket of a broker: what answers there is something else. Check "
            f"port and path of the URL, and whether it is {other}. A broker without WebSockets is "
            "reached by mqtts:// or mqtt://."
        )
    if isinstance(error, (socket.gaierror, UnicodeError)):
        return f"There is no server named {settings.server}. Check --server."
    if isinstance(error, ConnectionRefusedError) and not settings.chosen:
        if settings.brokers:
            return (
                f"Which broker? None runs here ({where}), and {FILE} names "
                f"{', '.join(settings.brokers)}: say --broker {settings.brokers[0]}, or put broker "
                f'= "{settings.brokers[0]}" at its top.'
            )
        return (
            f"No broker is configured, and none runs here ({where}). Say where yours is: --server "
            f'HOST, MQBOARD_SERVER, or server = "HOST" in {FILE}. To try things out, {TASK} broker '
            "starts one here."
        )
    if isinstance(error, ConnectionRefusedError):
        return (
            f"Nothing listens on {where}. Is the broker running ({TASK} broker starts one here), "
            "and are --server and --port right?"
        )
    if isinstance(error, TimeoutError):
        silent = " Or does it expect TLS, or something else than MQTT?" if not settings.tls else ""
        return (
            f"The broker {where} does not answer. Check --server, --port and the network: a "
            f"firewall may drop it.{silent}"
        )
    if isinstance(error, OSError) and error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH):
        return f"There is no way to {where} from here ({error.strerror}). Check the network."
    text = getattr(error, "strerror", None) or error
    return f"The broker {where} cannot be reached: {text}."


def closed(settings: Settings) -> str:
    """Return what to do when the broker closed the connection before it answered at all."""
    if settings.tls and settings.cert:
        help_ = (
            f"Perhaps it does not accept the client certificate {settings.cert}: expired, or of a "
            "CA that it does not know?"
        )
    elif settings.tls:
        help_ = "Does it want a client certificate (--cert and --key)?"
    elif settings.path:
        help_ = "Is it a broker, and is this its path?"
    else:
        help_ = "Is this a port with TLS (--tls), or for WebSockets (--server ws://…)?"
    return f"it closed the connection before it answered. {help_}"


def _certificate(error: ssl.SSLCertVerificationError, settings: Settings) -> str:
    """Say what is wrong with the broker's certificate, and who can do something about it."""
    if error.verify_code in (_EXPIRED, _NOT_YET):
        now = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
        help_ = f"Whoever runs the broker must renew it, or this machine's clock is wrong: {now}."
    elif error.verify_code in (_OTHER_NAME, _OTHER_ADDRESS):
        help_ = "Give the name that is in it: --server NAME."
    elif settings.ca:
        help_ = f"It was not signed by the CA in {settings.ca}. Give that of its CA: --ca FILE."
    else:
        help_ = "Give the PEM file of the CA that signed it: --ca FILE."
    what = error.verify_message.rstrip(".")
    return f"The broker {settings.where} has a certificate we don't trust: {what}. {help_}"


def _tls(error: OSError | UnicodeError | ValueError, settings: Settings) -> str:
    """Say that TLS did not come about, and whether it is there at all."""
    code = getattr(error, "reason", None) or ""
    if any(word in code for word in _NO_TLS):
        return (
            f"No TLS connection to the broker {settings.where}: what listens there speaks no TLS "
            f"({code}). Is that the port with TLS? If the broker has none, say so with --no-tls."
        )
    detail = code or getattr(error, "strerror", None) or error
    return (
        f"No TLS connection to the broker {settings.where}: {detail}. "
        "If this port has no TLS, say so with --no-tls."
    )
