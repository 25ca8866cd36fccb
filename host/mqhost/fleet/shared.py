"""Lays a configuration that many boards share over that of each: what is a board's own stays.

A board's own are its prefix, its host name and its fixed addresses. Lists are replaced as a whole,
but a network keeps the fixed address that the board has in it.
"""

import re
from copy import deepcopy
from typing import Any

from mqhost.manage.configuration import flatten, remove

Record = dict[str, Any]

_OWN = re.compile(r"(?:prefix|hostname|(?:ethernet|networks\.[0-9]+)\.static)(?=\.|$)")


def own_key(key: str) -> str:
    """Return the key of a board's own that `key` is, or is in; "" if it is none."""
    found = _OWN.match(key)
    return found[0] if found else ""


def without_own(record: Record) -> tuple[Record, list[str]]:
    """Return `record` without what is a board's own, and the keys of that."""
    found = list(dict.fromkeys(filter(None, map(own_key, flatten(record)))))
    shared = deepcopy(record)
    for key in found:
        remove(shared, key)
    return shared, found


def lay_over(own: Record, shared: Record) -> Record:
    """Return the configuration `own` with all that `shared` says, which is without_own()."""
    made: Record = _over(deepcopy(own), deepcopy(shared))
    if "networks" in shared:
        fixed = {name: item["static"] for name, item in _networks(own) if "static" in item}
        for name, item in _networks(made):
            if name in fixed:
                item["static"] = fixed[name]
    return made


def _over(own: Any, shared: Any) -> Any:
    if not isinstance(own, dict) or not isinstance(shared, dict):
        return shared
    return own | {key: _over(own.get(key), value) for key, value in shared.items()}


def _networks(record: Record) -> list[tuple[str, Record]]:
    """Return the networks of `record` with their names, as far as they are any."""
    found = record.get("networks")
    items = found if isinstance(found, list) else []
    return [(str(item.get("ssid")), item) for item in items if isinstance(item, dict)]
