"""Makes a new project out of the template, in a folder that is empty or not there yet.

    template/app/@NAME@.py.in  →  greenhouse/app/greenhouse.py

What stands between two @ in the names and texts of the template is filled in.
"""

import json
import keyword
import re
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from mqhost.build.board import find
from mqhost.build.layers import FILE as BOARD_FILE
from mqhost.errors import UsageError
from mqhost.files import replace_file
from mqhost.paths import BOARDS, ROOT

PACKAGE = "mqboard"
DESK = "sim"  # what is built where nobody says otherwise: it runs on the desk
_TEMPLATE = Path(__file__).parent / "template"
_END = ".in"  # so that nobody takes a file of the template for one of ours
_DOT = "dot-"  # what packages have no files with
_NAME = re.compile(r"[a-z][a-z0-9_]{0,23}")
_RELEASE = re.compile(r"\d+(\.\d+)+")
# Modules of the board that CPython has none of.
_ON_BOARDS = {
    *("app", "boot", "esp", "esp32", "espnow", "machine", "main", "micropython", "mip", "mqboard"),
    *("mqbuild", "mqtt_as", "mqwire", "neopixel", "network", "requests", "uasyncio", "webrepl"),
}


@dataclass(frozen=True)
class Pin:
    """What pip is asked for to get this very mqboard, and a sentence about that."""

    requirement: str
    note: str


def create(folder: Path, base: str | None = None) -> list[Path]:
    """Make a project in `folder`, which gives it its name, with a board that extends `base`; return
    its files. UsageError if the folder is not empty, or if the name or the base cannot be."""
    name = folder.resolve().name
    check_name(name)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(
            f"{folder} is there already, and not empty; nothing was written. Give another name, or "
            "an empty folder."
        )
    board = find(base or "esp32")
    pin = pin_of()
    words = {
        "NAME": name,
        "BASE": board.name,
        "BOARD": name if board.port == "unix" else DESK,
        "PIN": pin.requirement,
        "PIN_NOTE": pin.note,
    }
    made = []
    for path in sorted(_TEMPLATE.rglob(f"*{_END}")):
        target = path.relative_to(_TEMPLATE).as_posix().removesuffix(_END)
        target = re.sub(rf"(^|/){_DOT}", r"\1.", _filled(target, words))
        file = folder / target
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            replace_file(file, _filled(path.read_text(encoding="utf-8"), words).encode())
        except OSError as error:
            raise UsageError(f"{file} cannot be written: {error.strerror}.") from error
        made.append(file)
    return made


def check_name(name: str) -> None:
    """Raise UsageError unless `name` can be that of a project, its board and its module."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be the name of a project: it becomes that of a module, a board and a "
            "topic, so it has 1 to 24 small letters, digits or _, and begins with a letter."
        )
    if (BOARDS / name / BOARD_FILE).is_file():
        raise UsageError(f"{name} is the name of a board of MQBoard's. Give the project another.")
    if name in {*sys.stdlib_module_names, *_ON_BOARDS} or keyword.iskeyword(name):
        raise UsageError(
            f"{name} is a word of Python, or a module that boards have. Give the project another "
            "name: its module has it, too."
        )


def pin_of() -> Pin:
    """Return what gets the mqboard that runs here: the release, or where it was installed from."""
    try:
        found = distribution(PACKAGE)
    except PackageNotFoundError:
        return Pin(f"{PACKAGE}[testing] @ {ROOT.as_uri()}", _from_here(ROOT.as_uri()))
    direct = json.loads(found.read_text("direct_url.json") or "{}")
    url = direct.get("url", "")
    if "vcs_info" in direct:
        source = f"{direct['vcs_info']['vcs']}+{url}@{direct['vcs_info']['commit_id']}"
        return Pin(f"{PACKAGE}[testing] @ {source}", "That is the commit which made it.")
    if url:
        return Pin(f"{PACKAGE}[testing] @ {url}", _from_here(url))
    if _RELEASE.fullmatch(found.version):
        return Pin(f"{PACKAGE}[testing]=={found.version}", "That is the release which made it.")
    text = f"It was made by {found.version}, which is no release: name where that can be had."
    return Pin(f"{PACKAGE}[testing]", text)


def _from_here(url: str) -> str:
    return (
        f"{url} is a place on the machine that made it: where others build, in CI as well, name a "
        "release or a commit that they can have."
    )


def _filled(text: str, words: dict[str, str]) -> str:
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    return text
