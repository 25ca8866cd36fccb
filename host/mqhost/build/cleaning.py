"""Removes what builds made: outputs, and on request everything that is kept between builds."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from mqhost.errors import ToolError
from mqhost.extras import installed
from mqhost.paths import BUILD, CHECKOUT, PROJECT, cache_dir

_LEFT = ("build.log", "build.json", "image.json")  # one of them is in every folder of a build


def clean(everything: bool) -> Iterator[str]:
    """Remove the build folder; with `everything` also the cache folder, and the containers and
    images that builds made. Says each thing that was removed.

    Without an engine there is nothing of it to remove: that is said too, and no error. Where there
    is neither a project nor a checkout, only folders that a build has left are removed, as `build`
    may be anybody's there.
    """
    if everything:
        yield from _docker()
    for folder in (*_outputs(), cache_dir()) if everything else _outputs():
        if folder.exists():
            _remove(folder)
            yield f"Removed {folder}"


def _outputs() -> tuple[Path, ...]:
    if PROJECT or CHECKOUT:
        return (BUILD,)
    return tuple(sorted({path.parent for name in _LEFT for path in BUILD.glob(f"*/{name}")}))


def _remove(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise ToolError(
            f"{error.filename} cannot be removed: {error.strerror}. "
            f"See who owns it (ls -l), remove it, then run it again."
        ) from error


def _docker() -> Iterator[str]:
    if not installed("build"):
        return  # nothing here has ever built with it
    # Slow to load: only where it is wanted.
    from mqhost.build.builders.docker_engine import EngineError, connect
    from mqhost.build.builders.docker_image import remove_all

    try:
        client = connect()
    except EngineError as error:
        yield f"Docker's images stay, if there are any. {error}"
        return
    for name in remove_all(client):
        yield f"Removed {name}"
