"""Does TLS for mqboard.net: a context that verifies, a handshake that does not block, plain errors.

Loaded only where TLS is used. The certificates' times are checked against the board's clock; a
clock that was never set is corrected when a certificate fails for it (mqboard.credentials).
"""

import time
from asyncio import core
from errno import ECONNRESET

import tls
from micropython import const

_EPIPE = const(32)
# From mbedTLS's ssl.h.
_FATAL_ALERT = const(-0x7780)
_INVALID_RECORD = const(-0x7200)
_EOF = const(-0x7280)


class ValidityError(OSError):
    """Raised when, by the board's clock, the certificate is not valid yet or not any more."""


def make_context(ca=None, cert=None, key=None, verify=True):
    """Return an SSLContext for a client; raise OSError.

    `ca` (one or more certificates), `cert` (with those between it and its CA) and `key` are PEM or
    DER: bytes, or the path of a file; a str may also be PEM. Without `verify` anybody can be the
    server.
    """
    context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
    what = "CA"
    try:
        if ca:
            context.load_verify_locations(_read(ca))
        what = "client certificate or its key"
        if cert:
            context.load_cert_chain(_read(cert), _read(key))
    except ValueError as error:
        raise OSError("TLS: %s: %s" % (what, error))
    if not verify:
        context.verify_mode = tls.CERT_NONE
    elif not ca:
        raise OSError("TLS: no CA to verify the server with")
    return context


def _read(source):
    if isinstance(source, str) and "-----BEGIN" not in source:
        try:
            with open(source, "rb") as file:
                return file.read()
        except OSError as error:
            raise OSError("TLS: %s cannot be read: %s" % (source, error))
    return source


# async
def secure(stream, context, server_hostname):
    """Do the handshake on a connected mqboard.net.Stream; raise OSError. The client speaks first.

    mbedTLS computes for as long as it takes; while an answer is awaited, other tasks run.
    """
    try:
        sock = context.wrap_socket(
            stream.socket, do_handshake_on_connect=False, server_hostname=server_hostname
        )
        stream.use(sock)  # closed with the stream, however this ends: it has 20 KB and more
        byte = bytearray(1)
        # Reading is what makes the handshake go on. There is a peer's certificate when it is done.
        while sock.readinto(byte) is None:
            if sock.getpeercert(True):
                return
            yield core._io_queue.queue_read(sock)
        raise OSError(_EOF)
    except (OSError, ValueError) as error:
        raise _explained(error)


def _explained(error):
    """Return an OSError that says what mbedTLS means by `error`."""
    if isinstance(error, ValueError):  # of a certificate, in words
        text = "TLS: " + str(error).strip().replace("\n", "; ")
        if "validity" not in text:
            return OSError(text)
        return ValidityError(text + "; by our clock it is %d-%02d-%02d" % time.localtime()[:3])
    code = error.args[0]
    if code in (_FATAL_ALERT, _EPIPE):
        text = "the server refuses us; does it want a client certificate, or another one?"
    elif code in (_EOF, _INVALID_RECORD):
        text = "the server hangs up; is this its port for TLS?"
    elif code == ECONNRESET:
        text = "the server hangs up; is this its port for TLS, does it want a client certificate?"
    elif isinstance(code, int) and code < 0:
        text = "mbedTLS error -0x%04x" % -code
    else:
        return error
    return OSError("TLS: " + text)
