"""Has a simulated board for who develops without one: broker, board, and the application on it."""

import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mqhost.dev.applying import development_version
from mqhost.dev.checking import Checker
from mqhost.progress import Progress, silent
from mqhost.testing.board import SimBoard
from mqhost.testing.firmware import built
from mqhost.testing.world import World

PREFIX = "dev/board"


@contextmanager
def simulated(
    folder: Path, modules: Mapping[str, Any] | None = None, progress: Progress = silent
) -> Iterator[SimBoard]:
    """Give a fresh simulated board that runs the application in `folder`, while the `with` block
    runs; `modules`: it is in the firmware, and these start. Raises ToolError where it cannot be: no
    compiler, no mosquitto, no application.
    """
    application = None
    if modules is None:
        application = development_version(Checker(folder).read(), None)
    progress("building the firmware of the simulated board", 0, 0)
    firmware = built(uuid.uuid4().hex)
    with (
        tempfile.TemporaryDirectory(prefix="mqboard-dev-") as place,
        World(Path(place), folder, firmware) as world,
    ):
        yield world.add(PREFIX, app=application, modules=modules)
