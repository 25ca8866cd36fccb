"""Does TLS with a pre-shared key in place of certificates: for brokers with a psk_file.

Board and broker know each other by a key that both have, so there is nothing that expires, no clock
is asked, and a handshake takes less than half the time. Loaded only where the configuration has
such a key. The module tlspsk is in C, and in all our firmware (boards/common).
"""

import asyncio
from asyncio import core
from binascii import unhexlify
from errno import ECONNRESET

import tls
from micropython import const

from mqboard.clock import within
from mqboard.net.stream import opener as open_plainly

_EPIPE = const(32)
# From mbedTLS's ssl.h.
_FATAL_ALERT = const(-0x7780)
_INVALID_RECORD = const(-0x7200)
_EOF = const(-0x7280)
# A record of TLS that is an alert, and its size while nothing is encrypted (RFC 5246, 6.2.1).
_ALERT = const(21)
_ALERT_SIZE = const(7)
# Alerts (RFC 5246, 7.2; RFC 4279, 2): no cipher suite in common, and what follows a wrong key.
_HANDSHAKE_FAILURE = const(40)
_BAD_RECORD = const(20)
_DECRYPT_ERROR = const(51)
_UNKNOWN_IDENTITY = const(115)


def opener(link, host, port, identity, key, timeout_s=15):
    """Return the opener for one broker, as mqboard.net.opener does; `key` is hexadecimal.

    TCP has its time, and TLS has `timeout_s`.
    """
    context = None
    open_tcp = open_plainly(link, host, port)

    async def open_secured(*server):
        nonlocal context
        context = context or make_context(identity, key)
        stream = await open_tcp(*server)
        try:
            await within(timeout_s, secure(stream, context, identity))
            return stream
        except BaseException as error:
            stream.close()
            if isinstance(error, asyncio.TimeoutError):
                raise OSError("TLS: no answer in %d s" % timeout_s)
            raise

    return open_secured


def make_context(identity, key):
    """Return an SSLContext for a client that knows its server by `key`; raise OSError."""
    try:
        import tlspsk
    except ImportError:
        raise OSError("TLS: this firmware has no pre-shared keys; it needs the module tlspsk")
    context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
    context.verify_mode = tls.CERT_NONE  # there is none
    try:
        tlspsk.use(context, identity.encode(), unhexlify(key))
    except ValueError as error:
        raise OSError("TLS: pre-shared key: %s" % error)
    return context


# async
def secure(stream, context, identity):
    """Do the handshake on a connected mqboard.net.Stream; raise OSError. See mqboard.net.tls."""
    import tlspsk

    try:
        sock = context.wrap_socket(stream.socket, do_handshake_on_connect=False)
        stream.use(sock)
        tlspsk.watch(sock)
        byte = bytearray(1)
        while sock.readinto(byte) is None:
            if tlspsk.done(sock):
                return
            yield core._io_queue.queue_read(sock)
        raise OSError(_EOF)
    except OSError as error:
        alert = tlspsk.last() if error.args[0] == _FATAL_ALERT else _unread(stream.socket)
        raise _explained(error, identity, alert)


def _unread(sock):
    """Return the alert that a server sent who hung up while we still wrote, 0 if there is none."""
    try:
        data = sock.read(_ALERT_SIZE)
    except OSError:
        return 0
    return data[-1] if data and len(data) == _ALERT_SIZE and data[0] == _ALERT else 0


def _explained(error, identity, alert):
    """Return an OSError that says what mbedTLS means by `error`; `alert`: the server's, or 0."""
    code = error.args[0]
    if alert == _UNKNOWN_IDENTITY:
        text = "the server does not know the identity %s" % identity
    elif alert in (_BAD_RECORD, _DECRYPT_ERROR):
        text = "the server has another key for the identity %s" % identity
    elif alert == _HANDSHAKE_FAILURE:
        text = "the server takes no pre-shared keys; is this its port for them?"
    elif alert:
        text = "the server refuses us, with alert %d" % alert
    elif code in (_EOF, _INVALID_RECORD, _EPIPE, ECONNRESET):
        text = "the server hangs up; is this its port for pre-shared keys? does it know %s?"
        text = text % identity
    elif isinstance(code, int) and code < 0:
        text = "mbedTLS error -0x%04x" % -code
    else:
        return error
    return OSError("TLS: " + text)
