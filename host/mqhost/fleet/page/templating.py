"""Fills in the templates: what they may call, and how times, sizes and signs are written."""

import hashlib
import time
from datetime import UTC, datetime
from functools import cache
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined

from mqhost.fleet.page.vendored import HERE

_STATIC = HERE / "static"
_STEPS = ((86400, "d"), (3600, "h"), (60, "min"))


def url(path: str, /, **query: Any) -> str:
    """Return the address of a page with `query`; what is None in it is left out."""
    told = {name: value for name, value in query.items() if value is not None}
    return f"{path}?{urlencode(told)}" if told else path


@cache
def asset(name: str) -> str:
    """Return the address of a file of `static`, another one once its content is another one."""
    digest = hashlib.sha256((_STATIC / name).read_bytes()).hexdigest()
    return f"/static/{name}?v={digest[:12]}"


def span(seconds: float) -> str:
    """Say how long something takes or took, in its largest unit or two: 3 d 4 h, 12 min, 8 s."""
    left = max(0, int(seconds))
    parts: list[str] = []
    for size, unit in _STEPS:
        if left >= size or parts:
            parts.append(f"{left // size} {unit}")
            left %= size
        if len(parts) == 2:
            break
    shown = [part for part in parts if not part.startswith("0 ")]
    return " ".join(shown) or f"{left} s"


def ago(then: float | None) -> str:
    """Say how long ago a Unix time was; "" for None."""
    return "" if then is None else span(time.time() - then)


def moment(then: float | None) -> str:
    """Write a Unix time in UTC, as people read it; "" for None."""
    if then is None:
        return ""
    return datetime.fromtimestamp(then, UTC).strftime("%Y-%m-%d %H:%M:%S")


def stamp(then: float | None) -> str:
    """Write a Unix time in UTC, as machines read it; "" for None."""
    if then is None:
        return ""
    return datetime.fromtimestamp(then, UTC).isoformat(timespec="seconds")


def size(number: Any) -> str:
    """Write a number of bytes: 812 B, 14.2 KB, 1.3 MB."""
    value = float(number)
    for unit in ("B", "KB", "MB"):
        if value < 1000 or unit == "MB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def minus(number: Any) -> str:
    """Write a number with a real minus sign."""
    return str(number).replace("-", "\N{MINUS SIGN}")


def environment() -> Environment:
    """Make the templates' environment: all that is filled in is escaped."""
    made = Environment(
        loader=PackageLoader("mqhost.fleet.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals |= {"url": url, "asset": asset}
    made.filters |= {"ago": ago, "span": span, "moment": moment, "stamp": stamp}
    made.filters |= {"size": size, "minus": minus}
    return made
