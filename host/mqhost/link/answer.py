"""Reads a board's answer that is a JSON object."""

import json
from typing import Any

from mqhost.errors import BoardError


def json_object(command: str, data: bytes) -> dict[str, Any]:
    """Return the object in `data`, the answer to `command`; BoardError if it is none."""
    try:
        found = json.loads(data.decode("utf-8", "replace"))
    except (ValueError, RecursionError) as error:
        raise BoardError(f"The board's answer to {command} is not JSON: {data[:60]!r}") from error
    if not isinstance(found, dict):
        raise BoardError(f"The board's answer to {command} is no JSON object: {data[:60]!r}")
    return found
