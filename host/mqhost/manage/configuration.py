"""Reads a board's configuration, compares it with another one, and edits it key by key.

Secrets stay on the board: in their place stands `<secret KEY>`, which means "as it is there" in
what is sent back (mqwire.secrets). Whether another one is the same tell digests.

A key is written with dots: `broker.port`, `networks.0.password`, `modules.blink.pin`.
"""

import hashlib
import json
import secrets as random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mqhost.errors import BoardError, RefusedError, UsageError
from mqhost.link import schema
from mqhost.link.session import Session
from mqwire import secrets

_MISSING = object()
_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_SECRET, _OTHER_SECRET = "(secret)", "(another secret)"


@dataclass(frozen=True)
class Configuration:
    """What a board runs with: `record`, without its secrets; `digests` and `nonce` tell about them.

    `boot_id` is of the boot that told it; `settled`: that has proved good, and takes changes.
    `size`: bytes of the file, with its secrets. `file`: is it the "same" as that, "other", or
    "missing". `last`: the id of the command whose configuration was confirmed last. `revert`: the
    board has the one before this one.
    """

    record: dict[str, Any]
    boot_id: str
    settled: bool
    size: int
    file: str
    last: str | None
    revert: bool
    digests: Mapping[str, str]
    nonce: str


@dataclass(frozen=True)
class Difference:
    """One key that is not the same: its values as people read them, "" where there is none."""

    key: str
    old: str
    new: str

    def record(self) -> dict[str, Any]:
        """Return it for scripts: the values themselves; `old` or `new` is not there for none."""
        values = {"old": self.old, "new": self.new}
        return {"key": self.key} | {name: _value(text) for name, text in values.items() if text}


def fetch(session: Session) -> Configuration:
    """Ask the board of `session` for its configuration."""
    nonce = random.token_hex(8)
    told = session.request_json("config", tail=f"get/{nonce}")
    record, digests = told.get("config"), told.get("digests")
    if not isinstance(record, dict) or not isinstance(digests, dict):
        raise BoardError(f"The answer of {session.prefix} has no configuration: {told!r:.80}")
    return Configuration(
        record=record,
        boot_id=str(told.get("boot_id")),
        settled=told.get("settled") is True,
        size=told["size"] if isinstance(told.get("size"), int) else 0,
        file=str(told.get("file")),
        last=told.get("last"),
        revert=bool(told.get("revert")),
        digests={str(key): str(digest) for key, digest in digests.items()},
        nonce=nonce,
    )


def fetch_previous(session: Session, now: Configuration) -> dict[str, Any] | None:
    """Return the configuration before `now`, as it would be pushed: with placeholders for secrets
    that are the same. None if the board's firmware does not tell; RefusedError if there is none.
    """
    try:
        told = session.request_json("config", tail=f"previous/{now.nonce}")
    except BoardError:  # an older one knows no such wish
        return None
    if refused := told.get("refused"):
        raise RefusedError(f"{session.prefix} keeps its configuration: {refused!s:.200}.")
    record, digests = told.get("config"), told.get("digests")
    if not isinstance(record, dict) or not isinstance(digests, dict):
        raise BoardError(f"The answer of {session.prefix} has no configuration: {told!r:.80}")
    for container, key, path in secrets.find(record):
        if now.digests.get(path) != digests.get(path):
            container[key] = _OTHER_SECRET  # in place of what only the board knows
    return record


def state_text(state: Any) -> str:
    """Say what a status tells in `config`; "" if that is nothing."""
    if not isinstance(state, dict):
        return ""
    if state.get("state") == "trial":
        return "a new one is on trial"
    return f"went back from a new one: {state.get('reason')!s:.200}"


def differences(old: Configuration, new: dict[str, Any]) -> list[Difference]:
    """Return in which keys `new` is not the same as `old`, in their usual order."""
    before, after = flatten(old.record), flatten(new)
    hidden = {key for record in (old.record, new) for _, _, key in secrets.find(record)}
    found = []
    for key in sorted({*before, *after}, key=_order):
        one, other = before.get(key, _MISSING), after.get(key, _MISSING)
        if one in ({}, [], None) and any(inside.startswith(f"{key}.") for inside in after):
            continue  # what has come into it tells that it is not empty any more
        if one == other and type(one) is type(other) or _same_secret(old, key, other):
            continue
        shown = [_shown(key, value, key in hidden) for value in (one, other)]
        if shown[0] == shown[1] == _SECRET:
            shown[1] = _OTHER_SECRET
        found.append(Difference(key, *shown))
    return found


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text  # in place of a secret


def _same_secret(old: Configuration, key: str, value: Any) -> bool:
    """Return whether `value` is the board's own secret `key`."""
    if not isinstance(value, str) or secrets.is_placeholder(value) or key not in old.digests:
        return False
    return secrets.digest(hashlib.sha256, old.nonce, key, value) == old.digests[key]


def _shown(key: str, value: Any, hidden: bool) -> str:
    if value is _MISSING:
        return ""
    if not hidden or not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if secrets.is_placeholder(value) and value != secrets.placeholder(key):
        return value  # another key's
    return _SECRET


def flatten(value: Any, path: str = "") -> dict[str, Any]:
    """Return what is in `value` by keys: texts, numbers, and what is empty."""
    inside: Iterator[tuple[Any, Any]] | None = None
    if isinstance(value, dict):
        inside = iter(value.items())
    elif isinstance(value, list):
        inside = iter(enumerate(value))
    if inside is None or not value:
        return {path: value}
    flat: dict[str, Any] = {}
    for key, item in inside:
        flat |= flatten(item, f"{path}.{key}" if path else str(key))
    return flat


def ordered(record: dict[str, Any]) -> dict[str, Any]:
    """Return `record` with its keys in their usual order: a board does not keep any."""
    return {key: _sorted(record[key], key) for key in sorted(record, key=_order)}


def _sorted(value: Any, path: str) -> Any:
    if isinstance(value, list):
        return [_sorted(item, f"{path}.{index}") for index, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    keys = sorted(value, key=lambda key: _order(f"{path}.{key}"))
    return {key: _sorted(value[key], f"{path}.{key}") for key in keys}


def _order(path: str) -> list[tuple[int, str]]:
    """Return where `path` comes among all keys: as in the table, the unknown ones at the end."""
    places: list[tuple[int, str]] = []
    parts = path.split(".")
    for depth, part in enumerate(parts):
        table = ".".join(parts[:depth])
        names = [row[0] for row in schema.rows(table)]
        place = int(part) if part.isdigit() else names.index(part) if part in names else len(names)
        places.append((place, part))
    return places


def pick(record: Any, key: str) -> Any:
    """Return the value of `key`; UsageError naming what there is if there is none."""
    value = record
    done: list[str] = []
    for part in key.split("."):
        inside = _step(value, part)
        if inside is _MISSING:
            where = ".".join(done)
            keys = value if isinstance(value, dict) else {}
            there = ", ".join(_sorted(keys, where) if where else ordered(keys))
            near = schema.nearest(key) if schema.find(key) is None else ""
            hint = f" Did you mean {near}?" if near else f" Set are: {there}." if there else ""
            raise UsageError(f"{key} is not set{f' in {where}' if where else ''}.{hint}")
        value = inside
        done.append(part)
    return value


def _step(value: Any, part: str) -> Any:
    if isinstance(value, dict):
        return value.get(part, _MISSING)
    if isinstance(value, list) and part.isdigit() and int(part) < len(value):
        return value[int(part)]
    return _MISSING


def assign(record: dict[str, Any], key: str, value: Any) -> None:
    """Set `key` in `record`; objects on the way are made, and the next item of a list."""
    check_known(key)
    *way, last = key.split(".")
    table: Any = record
    for depth, part in enumerate(way):
        path = ".".join(way[: depth + 1])
        known = schema.find(path)
        is_list = known is not None and known.kind == "objects" and not part.isdigit()
        table = _enter(table, part, path, [] if is_list else {})
    _put(table, last, value, key)


def remove(record: dict[str, Any], key: str) -> None:
    """Remove `key` from `record`; UsageError if it is not there.

    A section that has nothing left in it goes, too: an empty `auth` would want its key.
    """
    pick(record, key)
    table, _, last = key.rpartition(".")
    inside = pick(record, table) if table else record
    if isinstance(inside, list):
        inside.pop(int(last))
        return
    del inside[last]
    if table and not inside and schema.rows(table) and not table[-1].isdigit():
        remove(record, table)


def check_known(key: str) -> None:
    """Raise UsageError unless a board knows `key`, or it is one that only a module knows."""
    parts = key.split(".")
    if "" in parts:
        raise UsageError(f"{key!r} is no key; write it like broker.port or networks.0.ssid.")
    for depth in range(1, len(parts) + 1):
        path = ".".join(parts[:depth])
        known = schema.find(path)
        if known is None:
            near = schema.nearest(path)
            hint = f" Did you mean {near}?" if near else " The keys are in docs/board.md."
            raise UsageError(f"{path} is not known, and a board would ignore it.{hint}")
        if known.kind in ("object", "arguments") and not known.rows:
            return  # whatever is in there


def _enter(table: Any, part: str, path: str, empty: Any) -> Any:
    inside = _step(table, part)
    if inside is _MISSING or inside is None:
        _put(table, part, empty, path)
        return empty
    if not isinstance(inside, (dict, list)):
        raise UsageError(f"{path} is {json.dumps(inside)}: there is nothing inside of it.")
    return inside


def _put(table: Any, part: str, value: Any, path: str) -> None:
    if isinstance(table, dict):
        table[part] = value
    elif part.isdigit() and int(part) < len(table):
        table[int(part)] = value
    elif part.isdigit() and int(part) == len(table):
        table.append(value)
    else:
        raise UsageError(f"{path}: that list has {len(table)} items; the next is {len(table)}.")


def is_secret(key: str) -> bool:
    """Return whether the value of `key` is one that nobody may see."""
    return has_secrets(key, "x")


def has_secrets(key: str, value: Any) -> bool:
    """Return whether there is a secret in the value `value` of `key`, and no placeholder for it."""
    record = value
    for part in reversed(key.split(".")):
        record = [record] if part.isdigit() else {part: record}
    return any(
        not secrets.is_placeholder(container[name]) for container, name, _ in secrets.find(record)
    )


def value_of(key: str, text: str) -> Any:
    """Return the value that `text` spells for `key`, by its kind; UsageError if it spells none.

    Of a kind that nobody knows, it is JSON or, if it is not, a text.
    """
    known = schema.find(key)
    kind = known.kind if known else ""
    if kind in ("text", "secret", "file"):
        return text
    if kind == "bool":
        if text.lower() not in _TRUTH:
            raise UsageError(f"{key} is true or false, not {text!r:.40}.")
        return _TRUTH[text.lower()]
    if kind == "texts" and not text.lstrip().startswith("["):
        return [word.strip() for word in text.split(",") if word.strip()]
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        if not kind:
            return text
        what = "a number" if kind in ("whole", "number") else "JSON"
        raise UsageError(f"{key} is {what}, which {text!r:.40} is not.") from error


def _refuse(word: str) -> None:
    raise ValueError(word)
