"""Defines `mqboard dev`: what is saved in an application's folder runs on a board at once."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

import click

import mqwire
from mqhost.cli.edge import Edge, to_stderr
from mqhost.cli.manage import deploy
from mqhost.cli.manage.log import Printer
from mqhost.cli.terminal.printing import clean, counted
from mqhost.cli.update import report
from mqhost.deploy.folder import read_folder
from mqhost.dev.applying import Development, Done
from mqhost.dev.claim import claimed
from mqhost.dev.projectfile import ProjectFile
from mqhost.dev.watching import Watcher
from mqhost.errors import BrokerError, SilentBoardError, ToolError
from mqhost.fleet.logs import Logs
from mqhost.link.session import Session
from mqhost.progress import Progress
from mqhost.project.model import Project, here

_NAMED = 3  # files
_STAGES = deploy.STAGES | report.STAGES
_BACK = 1.0  # seconds between two looks whether the board is back
_LOOK = 1.0  # seconds


class Refreshing(Protocol):
    """Brings what differs to a board, and says what that was. `places`: what it depends on."""

    @property
    def places(self) -> list[Path]: ...

    def refresh(self) -> Done: ...


@click.command("dev")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR", required=False)
@click.option(
    "--sim", is_flag=True, help="On a simulated board of its own, whatever is configured."
)
@click.option("--once", is_flag=True, help="Only bring what differs there once, and leave.")
@click.option(
    "--poll",
    is_flag=True,
    help="Look for changes four times a second: where the folder's"
    " filesystem does not tell of them.",
)
@click.pass_obj
def dev_command(edge: Edge, folder: Path | None, sim: bool, once: bool, poll: bool) -> None:
    """Keep the application in DIR on a board like its folder: what you save runs there at once.

    Only what differs is sent, and only the modules that it concerns start again; the log follows.
    What is no Python is told, with its line, and not sent. Without --prefix the board is a
    simulated one, with a broker, made for this and gone with it. Ctrl-C ends it; a board of yours
    runs on with what it has. Without DIR it is the application of the project that this folder is
    in, or this folder; one that the project freezes is built into firmware, and pushed as
    differences.

    \b
    Examples:
      mqboard dev greenhouse
      mqboard --prefix esp32/test dev greenhouse
      mqboard --prefix esp32/test dev greenhouse --once
    """
    project, named = here(), folder is not None
    folder = folder or (project.application if project else Path())
    file = ProjectFile(project, folder, named) if project else None
    frozen = project if project and project.freezes(folder) else None
    if not frozen:
        read_folder(folder)  # so that nothing else is begun for one that is none
    settings = edge.settings
    if settings.many:
        settings.need_prefix()
    teller = _Teller()
    with ExitStack() as stack:
        if sim or not settings.prefix:
            session = stack.enter_context(_simulated(folder, frozen))
        else:
            stack.enter_context(claimed(settings.where, settings.prefix, folder))
            with _hinting():
                session = stack.enter_context(edge.session())
        if not once:
            stack.enter_context(_following(edge, session))
        development = _developing(session, folder, file, teller.stage)
        with Watcher(*development.places, polling=poll) as watcher:
            _keep(development, session, watcher, teller, once)


def _developing(
    session: Session, folder: Path, file: ProjectFile | None, progress: Progress
) -> Refreshing:
    """Return what brings changes to the board."""
    if not file or not file.frozen:
        return Development(session, folder, progress, file)
    from mqhost.dev.freezing import Frozen  # what builds firmware is not always installed

    return Frozen(session, file, progress)


def _keep(
    development: Refreshing, session: Session, watcher: Watcher, teller: "_Teller", once: bool
) -> None:
    """Bring each change to the board, until Ctrl-C."""
    met = False
    while True:
        try:
            teller.done(session.prefix, development.refresh(), met)
            met = True
        except (BrokerError, SilentBoardError) as error:
            if once:
                raise
            if not met:
                with _hinting():
                    raise
            to_stderr(f"{error} It is waited for.")
            _wait_back(session)
            continue
        except ToolError as error:
            if once:
                raise
            to_stderr(str(error))
        if once:
            return
        watcher.watch(*development.places)  # a project may name others by now
        # Piece by piece: a Ctrl-C that comes just before a wait is heard when that is over.
        while not watcher.wait(_LOOK):
            pass


@contextmanager
def _hinting() -> Iterator[None]:
    """Say, where there is no board, how to do without one."""
    try:
        yield
    except (BrokerError, SilentBoardError) as error:
        raise type(error)(f"{error} To do without a board: mqboard dev --sim") from error


def _wait_back(session: Session) -> None:
    """Wait until the board's status says that it is there. The first look may find the old one."""
    time.sleep(_BACK)
    while not session.wait_status(lambda now: now.get("state") == mqwire.ONLINE, _BACK):
        pass


@contextmanager
def _simulated(folder: Path, frozen: Project | None) -> Iterator[Session]:
    from mqhost.dev.desk import simulated  # what builds firmware is not installed everywhere

    modules = frozen.additions().modules if frozen else None
    with simulated(folder, modules, lambda stage, *_: to_stderr(f"{stage} …")) as board:
        settings = board.session.settings
        to_stderr(
            f"A simulated board runs it. From elsewhere: mqboard --server {settings.server} "
            f"--port {settings.port} --prefix {board.prefix} info"
        )
        yield board.session


@contextmanager
def _following(edge: Edge, session: Session) -> Iterator[None]:
    """Print the board's log meanwhile."""
    printer = Printer(edge.console, False, False)
    with Logs(session.connection, session.prefix) as lines:

        def follow() -> None:
            for line in lines:
                printer.show(line)

        threading.Thread(target=follow, name="log", daemon=True).start()
        yield


class _Teller:
    """Tells on stderr what is done, as its log is on standard output."""

    _stage = ""

    def stage(self, stage: str, done: int, total: int) -> None:
        """Say that a stage of a deployment or an update has begun."""
        if stage != self._stage and stage in _STAGES:
            to_stderr(f"{_STAGES[stage]} …")
        self._stage = stage

    def done(self, prefix: str, done: Done, met: bool) -> None:
        """Say what was done, or the first time that there was nothing to do."""
        self._stage = ""
        if done.nothing:
            if not met:
                to_stderr(f"{prefix} runs what is in the folder. Change something: it follows.")
            return
        what = []
        if done.version:
            what.append(f"it runs {done.version}, confirmed; {done.size:,} B were sent")
        if done.sent:
            what.append(f"sent {_names(done.sent)} ({done.size:,} B)")
        if done.removed:
            what.append(f"removed {_names(done.removed)}")
        for module in done.modules:
            said = f"disabled {module.disabled}" if module.disabled else module.state
            what.append(f"{clean(module.name)} is {said}")
            if module.error:
                what[-1] += f": {clean(module.error)}"
        to_stderr(f"{prefix}, after {done.seconds:.1f} s: {'; '.join(what)}.")


def _names(paths: list[str]) -> str:
    if len(paths) > _NAMED:
        return counted(len(paths), "file")
    return ", ".join(map(clean, paths))
