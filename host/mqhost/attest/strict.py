"""Reads JSON that an attacker may have written: one meaning or none.

Readers differ in what they make of doubtful JSON, and so could be told different things by the same
bytes. Here a key that is there twice, a number that is none, text that is no UTF-8, and anything
behind the end are errors, ProofErrors that name the file.
"""

import base64
import binascii
import json
from collections.abc import Callable, Collection, Mapping
from typing import Any, NoReturn

from mqhost.errors import ProofError

Fail = Callable[[str], NoReturn]
Types = Mapping[str, type]


def failing(where: str) -> Fail:
    """Return a function that raises ProofError with `where` in front of a reason."""

    def fail(reason: str) -> NoReturn:
        raise ProofError(f"{where} {reason}. Nothing is proven.")

    return fail


def parse(data: bytes, where: str) -> Any:
    """Return what the JSON `data` says; `where` names it in errors."""
    fail = failing(where)

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        record = dict(items)
        if len(record) != len(items):
            names = [name for name, _ in items]
            twice = next(name for name in names if names.count(name) > 1)
            fail(f"is not to be trusted: the key {twice!r:.40} is in it twice")
        return record

    def constant(text: str) -> NoReturn:
        fail(f"is not JSON: {text} is no number")

    try:
        text = data.decode("utf-8")
        record = json.loads(text, object_pairs_hook=pairs, parse_constant=constant)
        # Half of a surrogate pair is text in JSON, and nowhere else.
        json.dumps(record, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        fail(f"is not JSON: {error!s:.100}")
    return record


def fields(record: Any, types: Types, fail: Fail, exactly: bool = False) -> list[Any]:
    """Return the values of an object's keys `types`, of just these types; with `exactly` True it
    may have no others."""
    if type(record) is not dict:
        fail("is not made as it should be: there is something else than an object in it")
    for name, kind in types.items():
        if name not in record:
            fail(f"is not made as it should be: {name} is missing")
        if type(record[name]) is not kind:
            fail(f"is not made as it should be: {name} is no {kind.__name__}")
    others = sorted(record.keys() - types.keys())
    if exactly and others:
        fail(f"is not made as it should be: {others[0]!r:.40} does not belong there")
    return [record[name] for name in types]


def unbase64(text: str, fail: Fail) -> bytes:
    """Return what `text` is the base64 of, in the one spelling that there is."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        fail("holds something that is no base64")
    if base64.b64encode(data).decode() != text:
        fail("holds base64 that is not spelled as it should be")
    return data


def is_hex(text: Any, lengths: Collection[int]) -> bool:
    """Return whether `text` is lower-case hexadecimal of one of these lengths."""
    return type(text) is str and len(text) in lengths and not set(text) - set("0123456789abcdef")
