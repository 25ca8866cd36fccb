"""Reads what a board says in JSON: its answers, its statuses.

What comes out can be written as JSON and as UTF-8 again: what cannot is made harmless here, once.
"""

import json
import math
import re
from typing import Any

from mqhost.errors import BoardError

_LONGEST_NUMBER = 300  # characters; longer ones are no numbers that can be reckoned with
_HALF = re.compile(rb"\\u[dD][89a-fA-F]")  # perhaps half of a character


def board_json(data: bytes) -> Any:
    """Return the value of JSON that a board has written; ValueError or RecursionError for what is
    none. A number that is none, as NaN or 1e999, becomes None, and half a character a "?".
    """
    found = json.loads(
        data.decode("utf-8", "replace"),
        parse_constant=lambda _: None,
        parse_int=lambda text: int(text) if len(text) <= _LONGEST_NUMBER else None,
        parse_float=_finite,
    )
    if _HALF.search(data):
        found = json.loads(json.dumps(found, ensure_ascii=False).encode("utf-8", "replace"))
    return found


def json_object(command: str, data: bytes) -> dict[str, Any]:
    """Return the object in `data`, the answer to `command`; BoardError if it is none."""
    try:
        found = board_json(data)
    except (ValueError, RecursionError) as error:
        raise BoardError(f"The board's answer to {command} is not JSON: {data[:60]!r}") from error
    if not isinstance(found, dict):
        raise BoardError(f"The board's answer to {command} is no JSON object: {data[:60]!r}")
    return found


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None
