"""Makes a new project out of the template, in a folder that is empty or not there yet.

    template/app/@NAME@.py.in  →  greenhouse/app/greenhouse.py

What stands between two @ in the names and texts of the template is filled in.
"""

import json
import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from mqhost.build.board import find
from mqhost.errors import UsageError
from mqhost.files import replace_file
from mqhost.paths import ROOT
from mqhost.project.naming import check_name

PACKAGE = "mqboard"
DESK = "sim"  # what is built where nobody says otherwise: it runs on the desk
_TEMPLATE = Path(__file__).parent / "template"
_END = ".in"  # so that nobody takes a file of the template for one of ours
_DOT = "dot-"  # what packages have no files with
_RELEASE = re.compile(r"\d+(\.\d+)+")


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
