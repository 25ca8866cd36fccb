"""Gets MicroPython's own releases: a pinned tag, cloned once into the cache.

The clone is checked against the commit known here, made in a temporary folder and renamed, so that
an interrupted run leaves nothing half done. Of the submodules it has the one that our boards freeze
from, micropython-lib, at the commit that the release names. The ESP32 port has one more, for btree,
which our boards leave out; its other components come with ESP-IDF or its component manager.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from mqhost.build.sources.integrity import intact, record
from mqhost.errors import ToolError, UsageError
from mqhost.files import writing
from mqhost.locks import locked
from mqhost.paths import cache_dir
from mqhost.progress import Progress, silent

REPOSITORY = "https://github.com/micropython/micropython.git"
# The commits behind the tags.
RELEASES: Mapping[str, str] = {"v1.28.0": "e0e9fbb17ed6fd06bb76e266ae554784c9c80804"}

# The submodule with MicroPython's library.
LIBRARY = "lib/micropython-lib"

_ALTERNATIVE = "Or give a MicroPython checkout: --micropython DIR"
_TAIL_LINES = 4


def release_folder(release: str) -> Path:
    """Return where the clone of `release` is, or will be."""
    return cache_dir() / "source" / f"micropython-{release}"


def at_hand(release: str) -> bool:
    """Tell whether there is a whole clone of `release` already."""
    folder = release_folder(release)
    return folder.is_dir() and intact(folder) and has_library(folder)


def has_library(folder: Path) -> bool:
    """Tell whether the MicroPython in `folder` has its whole library."""
    return (folder / LIBRARY / "README.md").is_file()  # the file its own makefiles look for


def release_source(release: str, progress: Progress = silent) -> Path:
    """Return the folder with MicroPython's `release`, as "v1.28.0", cloned when needed.

    Raises UsageError if its commit is not known here, ToolError if it cannot be cloned.
    """
    commit = RELEASES.get(release)
    if commit is None:
        raise UsageError(
            f"There is no pinned commit for MicroPython {release}; "
            f"known: {', '.join(RELEASES)}. {_ALTERNATIVE}"
        )
    folder = release_folder(release)
    with writing(), locked(folder.parent / ".lock", progress):
        if not at_hand(release):
            shutil.rmtree(folder, ignore_errors=True)
            progress(f"cloning MicroPython {release}", 0, 0)
            _clone(release, commit, folder)
    return folder


def _clone(release: str, commit: str, target: Path) -> None:
    """Clone the tag `release` to `target`: whole and of that commit, or not at all."""
    for left_over in target.parent.glob("clone-*"):
        shutil.rmtree(left_over)
    with tempfile.TemporaryDirectory(prefix="clone-", dir=target.parent) as temporary:
        folder = Path(temporary) / "micropython"
        _git("clone", "--quiet", "--depth=1", f"--branch={release}", REPOSITORY, str(folder))
        found = _git("-C", str(folder), "rev-parse", "HEAD").strip()
        if found != commit:
            raise ToolError(
                f"The tag {release} of {REPOSITORY} is commit {found}, not {commit} as it was when "
                f"it was pinned: this is not the source we know. {_ALTERNATIVE}"
            )
        _git("-C", str(folder), "submodule", "--quiet", "update", "--init", "--depth=1", LIBRARY)
        record(folder)
        folder.rename(target)


def _git(*arguments: str) -> str:
    """Return what git says; ToolError with its last lines if it fails. Asks for no password."""
    argv = ["git", "-c", "advice.detachedHead=false", *arguments]
    try:
        result = subprocess.run(
            argv,
            env=os.environ | {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    except FileNotFoundError as error:
        raise ToolError(f"git is missing: apt-get install git. {_ALTERNATIVE}") from error
    if result.returncode:
        tail = "\n".join(result.stdout.rstrip().splitlines()[-_TAIL_LINES:])
        raise ToolError(
            f"MicroPython cannot be cloned from {REPOSITORY}:\n{tail}\n"
            f"Check the network. {_ALTERNATIVE}"
        )
    return result.stdout
