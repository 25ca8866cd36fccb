"""Finds the file of users for a folder, and writes the first one for who has none yet."""

import json
from pathlib import Path

from mqhost.broker.access import Access
from mqhost.broker.folder import File, Folder
from mqhost.broker.state import NAME as STATE
from mqhost.broker.state import State
from mqhost.errors import UsageError

FILE = "boards.toml"

_FIRST = """\
# Who may do what at the broker. After each change: mqboard broker-config --out FOLDER
# All keys: docs/broker.md

[broker]
host = {host}
names = {names}

[[operators]]
name = "admin"
roles = ["repl"]        # logs: read; update: also bring firmware; repl: everything
prefixes = ["#"]        # of all boards; or "farm/+", "farm/#", "farm/pump"

# [[boards]]
# prefix = "farm/pump"
"""


def find_file(folder: Path, given: Path | None, hosts: tuple[str, ...], make: bool = True) -> Path:
    """Return the file of users: the one `given`, or FILE in the folder; `make`: for a new folder,
    which is for `hosts`, it is made.

    UsageError if another one was used before: nobody is to be shut out because of a missing option.
    """
    if given:
        return given
    own = folder / FILE
    if own.exists():
        return own
    state = folder / STATE
    if state.exists():
        before = State.from_bytes(state.read_bytes(), str(state)).file
        raise UsageError(
            f"{folder} was made from {before}, and there is no {own}. Name the file: --boards."
        )
    if not make:
        raise UsageError(f"There is no {own} yet. Without --dry-run and --check it is made.")
    if not hosts:
        raise UsageError(
            "How do boards reach the broker? Give its name or address: --host broker.lan. Or a "
            "file that says it, and who the boards are: --boards FILE (docs/broker.md)."
        )
    text = _FIRST.format(host=json.dumps(hosts[0]), names=json.dumps(list(hosts[1:])))
    Access.parse(text, "--host")
    with Folder.opened(folder) as opened:
        opened.change({FILE: File(text.encode())})
    return own
