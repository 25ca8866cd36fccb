"""Reads HTTP requests that anybody may have sent, and writes answers (RFC 9112, what a form needs).

Everything is bounded: the head, the body, and by its caller the time.
"""

from micropython import const

_HEAD_MAX = const(2048)  # bytes; phones send some hundred
_BODY_MAX = const(6144)
_PIECE = const(512)
_WANTED = (b"host", b"origin", b"content-length", b"content-type", b"transfer-encoding")
_FORM = b"application/x-www-form-urlencoded"
_REASONS = {
    200: "OK",
    302: "Found",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    411: "Length Required",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    431: "Request Header Fields Too Large",
}


class HttpError(Exception):
    """Raised when a request is not to be answered with what it asks for; `status` says why."""

    def __init__(self, status):
        super().__init__(status)
        self.status = status


class Request:
    """A request: `method` and `path` as bytes, `headers` by name in lower case, `body`."""

    def __init__(self, method, path, headers):
        self.method = method
        self.path = path
        self.headers = headers
        self.body = b""

    def from_us(self):
        """Return whether a page of ours may have sent it: browsers say where a form comes from."""
        origin = self.headers.get(b"origin")
        return origin is None or origin == b"http://" + self.headers.get(b"host", b"")


async def read_request(reader):
    """Read a Request from `reader`; raise HttpError, or EOFError when nothing comes."""
    head = b""
    while b"\r\n\r\n" not in head:
        if len(head) > _HEAD_MAX:
            raise HttpError(431)
        more = await reader.read(_PIECE)
        if not more:
            raise HttpError(400) if head else EOFError()
        head += more
    end = head.find(b"\r\n\r\n")
    if end > _HEAD_MAX:
        raise HttpError(431)
    request = _parse(head[:end])
    if request.method == b"POST":
        request.body = await _read_body(reader, request.headers, head[end + 4 :])
    return request


def _parse(head):
    lines = head.split(b"\r\n")
    words = lines[0].split(b" ")
    if len(words) != 3 or not words[2].startswith(b"HTTP/1."):
        raise HttpError(400)
    headers = {}
    for line in lines[1:]:
        colon = line.find(b":")
        if colon < 1:
            raise HttpError(400)
        name = line[:colon].lower()
        if name in _WANTED:
            if name in headers:  # which one of two holds is what attacks are made of
                raise HttpError(400)
            headers[name] = line[colon + 1 :].strip()
    return Request(words[0], words[1], headers)


async def _read_body(reader, headers, body):
    length = headers.get(b"content-length", b"")
    if b"transfer-encoding" in headers or not length:
        raise HttpError(411)
    if not all([48 <= digit <= 57 for digit in length]):
        raise HttpError(400)
    if len(length) > 6 or int(length) > _BODY_MAX:
        raise HttpError(413)
    if headers.get(b"content-type", b"").split(b";")[0].strip().lower() != _FORM:
        raise HttpError(415)
    length = int(length)
    while len(body) < length:
        more = await reader.read(min(_PIECE, length - len(body)))
        if not more:
            raise HttpError(400)
        body += more
    return body[:length]


def answer(status, page="", location=""):
    """Return the bytes of an answer with `page`, HTML, or that sends the browser to `location`."""
    body = page.encode()
    head = (
        "HTTP/1.1 %d %s\r\nConnection: close\r\nCache-Control: no-store\r\n"
        "Content-Type: text/html; charset=utf-8\r\nContent-Length: %d\r\n"
        "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; "
        "form-action 'self'; frame-ancestors 'none'\r\n"
    ) % (status, _REASONS.get(status, "Error"), len(body))
    if location:
        head += "Location: %s\r\n" % location
    return head.encode() + b"\r\n" + body
