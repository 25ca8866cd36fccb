"""Defines `mqboard modules`: which modules a board runs, and how; enable, disable, restart one."""

import click
from rich.console import Console

from mqhost.cli.edge import CommandGroup, Edge, json_option
from mqhost.cli.many import ForMany
from mqhost.cli.terminal.printing import json_text, say, span
from mqhost.cli.terminal.tables import Listing, show
from mqhost.errors import BoardError
from mqhost.manage.modules import (
    DISABLE,
    ENABLE,
    RESTART,
    SAFE,
    Module,
    Modules,
    change,
    list_modules,
)

_COLUMNS = ("module", "state", "for", "restarts", "crashes", "file", "last error")
_SAFE_MODE = "safe mode: no module runs"


@click.group("modules", cls=CommandGroup, default="list")
@json_option
def modules_command(as_json: bool) -> None:
    """List the modules of a board's configuration, and how they are; or change one.

    One that took the board down three times is disabled until it is enabled again.
    """


@modules_command.command("list", cls=ForMany)
@json_option
@click.pass_obj
def list_command(edge: Edge, as_json: bool) -> None:
    """List the modules and their states.

    \b
    Examples:
      mqboard --prefix esp32/test modules list
    """
    _list(edge, as_json)


@modules_command.command(ENABLE)
@click.argument("name")
@json_option
@click.pass_obj
def enable_command(edge: Edge, name: str, as_json: bool) -> None:
    """Let the module NAME run again, and forget its crashes.

    \b
    Examples:
      mqboard --prefix esp32/test modules enable blinky
    """
    _change(edge, ENABLE, name, as_json)


@modules_command.command(DISABLE)
@click.argument("name")
@json_option
@click.pass_obj
def disable_command(edge: Edge, name: str, as_json: bool) -> None:
    """Stop the module NAME, and keep it from running until it is enabled.

    \b
    Examples:
      mqboard --prefix esp32/test modules disable blinky
    """
    _change(edge, DISABLE, name, as_json)


@modules_command.command(RESTART)
@click.argument("name")
@json_option
@click.pass_obj
def restart_command(edge: Edge, name: str, as_json: bool) -> None:
    """Stop the module NAME and start it again, with the code that its file has now.

    \b
    Examples:
      mqboard --prefix esp32/test modules restart blinky
    """
    _change(edge, RESTART, name, as_json)


def modules_listing(modules: Modules) -> Listing:
    """List `modules`."""
    return Listing(
        _COLUMNS,
        ([_row(module) for module in modules.modules],),
        modules.record,
        title=_SAFE_MODE if modules.mode == SAFE else "",
        numbers={3, 4},
        prose={1, 6},
        lean=True,
    )


def _list(edge: Edge, as_json: bool) -> None:
    with edge.session() as session:
        modules = list_modules(session)
    if as_json or modules.modules:
        show(edge.console, modules_listing(modules), as_json)
    else:
        say(edge.console, f"{session.prefix} has no modules: its configuration names none.")


def _change(edge: Edge, action: str, name: str, as_json: bool) -> None:
    with edge.session() as session:
        record = change(session, action, name)
    module = Module.of(record)
    if as_json:
        say(edge.console, json_text(record))
    if action != DISABLE and module.error:
        raise BoardError(f"{name} was started, and died: {module.error}")
    if not as_json:
        _report(edge.console, action, module)


def _report(console: Console, action: str, module: Module) -> None:
    if action == DISABLE:
        text = f"{module.name} is disabled, over resets, too, until it is enabled."
    elif module.state == "stopped":
        text = f"{module.name} is enabled; {_SAFE_MODE}."
    else:
        text = f"{module.name}: {module.state}."
    say(console, text)


def _row(module: Module) -> list[str]:
    state = module.state
    if module.disabled:
        state += f" {module.disabled}"
    if module.again is not None:
        state += f", again in {span(module.again)}"
    return [
        module.name,
        state,
        "" if module.since is None else span(module.since),
        f"{module.restarts:,}",
        f"{module.crashes:,}",
        module.file,
        module.error,
    ]
