"""Gives pytest the fixtures of simulated boards, and a failing test's report their logs.

pytest loads this in every run of everybody who has mqboard installed: nothing of ours is imported
before a test wants a board. Its options: the marker `mqboard`, and `mqboard_app`,
`mqboard_firmware` in pytest's configuration (docs/testing.md).
"""

import contextlib
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from mqhost.testing.board import SimBoard
    from mqhost.testing.firmware import Firmware
    from mqhost.testing.world import World

_WORLD: "pytest.StashKey[World]" = pytest.StashKey()
_MARKER = (
    "mqboard(app=, config=, modules=, files=, firmware=, heap=): how the simulated boards of a "
    "test are made; see docs/testing.md of MQBoard"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what pytest's configuration may say."""
    parser.addini(
        "mqboard_app",
        "the folder of the application that boards of tests run, from the folder of this file",
    )
    parser.addini(
        "mqboard_firmware",
        "a folder with app.bin and flash.bin that boards of tests run; by default it is built",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", _MARKER)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Put the logs of a test's boards into its report, if it failed."""
    report: Any = yield
    world = item.stash.get(_WORLD, None)
    if world and report.failed:
        for board in world.boards:
            report.sections.append((f"log of {board.prefix}", board.log))
    return report


@pytest.fixture(scope="session")
def mqboard_firmware(pytestconfig: pytest.Config) -> "Firmware":
    """The firmware that boards of tests run: `app` is its app.bin, `flash` its flash.bin."""
    from mqhost.testing.firmware import built, load

    with _sentences():
        folder = pytestconfig.getini("mqboard_firmware")
        if folder:
            return load(pytestconfig.rootpath / folder)
        # One run has one firmware: its processes, where there are several, take turns.
        return built(os.environ.get("PYTEST_XDIST_TESTRUNUID") or uuid.uuid4().hex)


@pytest.fixture
def mqboard_boards(
    request: pytest.FixtureRequest, tmp_path: Path, mqboard_firmware: "Firmware"
) -> "Iterator[Callable[..., SimBoard]]":
    """A function that makes simulated boards at one broker: `mqboard_boards("attic", config=…)`.

    Its arguments are those of the marker, and go before it. A board is there, online, when it
    returns; all are gone after the test.
    """
    from mqhost.testing.world import World

    options = _options(request)
    with _sentences():
        world = World(tmp_path / "mqboard", request.config.rootpath, mqboard_firmware)
    request.node.stash[_WORLD] = world
    with world:

        def make(prefix: str | None = None, **changes: Any) -> "SimBoard":
            with _sentences():
                return world.add(prefix, **(options | changes))

        yield make


@pytest.fixture
def mqboard_board(mqboard_boards: "Callable[..., SimBoard]") -> "SimBoard":
    """A simulated board with your firmware and application, online; see docs/testing.md."""
    return mqboard_boards()


def _options(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return what the markers of a test say; the nearest one of the same word counts."""
    options: dict[str, Any] = {}
    if app := request.config.getini("mqboard_app"):
        options["app"] = app
    for marker in reversed(list(request.node.iter_markers("mqboard"))):
        if marker.args:
            pytest.fail('The marker mqboard takes words only, as mqboard(app="greenhouse").', False)
        options |= marker.kwargs
    return options


@contextlib.contextmanager
def _sentences() -> Iterator[None]:
    """End a test with a sentence, and no traceback through us, where an error is one for people."""
    from mqhost.errors import ToolError
    from mqhost.extras import explained
    from mqhost.files import unusable

    try:
        yield
    except ToolError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None
    except OSError as error:
        unused = unusable(error)
        if unused is None:
            raise
        raise pytest.fail.Exception(str(unused), pytrace=False) from None
    except ModuleNotFoundError as error:
        told = explained(error)
        if told is None:
            raise
        raise pytest.fail.Exception(str(told), pytrace=False) from None
