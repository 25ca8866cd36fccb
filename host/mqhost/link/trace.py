"""Describes a message for people to read: its topic, size, header, and how its payload begins.

What may be a secret is masked: values whose names sound so, in JSON and in Python, and private
keys. Of a long body only the first message is shown: later ones may begin in the middle of one.
"""

import re

import mqwire

_SHOWN = 72  # characters
_LOOKED_AT = 4096  # bytes
_HEXED = 16  # bytes
_CODED = re.compile(r"/mqb/(cmd|reply/out)/")
_FRAMED = re.compile(
    r"""
    ( ["']? [\w.-]* (?:pass|secret|token|key|auth|credential) [\w.-]* ["']? \s* [:=] \s* )
    ( ["'] ) (?: \\. | (?!\2) [^\\] )* ( \2 | \\? $ )
    """,
    re.I | re.X | re.S,
)
_PRIVATE = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY.*", re.S)
_MASK = "***"
_ESCAPED = str.maketrans({"\n": "\\n", "\r": "\\r", "\t": "\\t"})
_ODD = "\ufffd"  # stands for what is no UTF-8
_WORD = 4  # characters, of which fewer say nothing


def describe(topic: str, payload: bytes, retained: bool = False) -> str:
    """Return "TOPIC  SIZE  HEADER  TEXT", a line for what travels on `topic`."""
    parts = [topic, f"{len(payload):,} B"]
    if retained:
        parts.append("retained")
    body, first = payload, True
    if _CODED.search(topic) and len(payload) >= mqwire.HEADER_SIZE:
        seq, last = mqwire.parse_header(payload)
        parts.append(f"#{seq}" + (" last" if last else ""))
        body, first = payload[mqwire.HEADER_SIZE :], not seq
    if body:
        parts.append(beginning(body) if first else "…")
    return "  ".join(parts)


def beginning(data: bytes) -> str:
    """Return how `data` begins, as text as far as it is text, or else in hex; secrets masked."""
    text = _FRAMED.sub(_masked, data[:_LOOKED_AT].decode("utf-8", "replace"))
    text = _PRIVATE.sub(_MASK, text).translate(_ESCAPED)
    shown = text[:_SHOWN]
    end = next((at for at, one in enumerate(shown) if not one.isprintable() or one in _ODD), None)
    if end is None:
        return shown + "…" * (len(text) > _SHOWN)
    if end >= _WORD:
        return shown[:end] + "…"
    return data[:_HEXED].hex(" ") + " …" * (len(data) > _HEXED)


def _masked(found: re.Match[str]) -> str:
    return f"{found[1]}{found[2]}{_MASK}{found[3]}"
