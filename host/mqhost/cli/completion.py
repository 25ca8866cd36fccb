"""Defines `mqboard completion`, and completes prefixes and names at TAB, never late and never loud.

The prefixes are those that the broker has boards at: as remembered, if that is not long ago, or
else asked for, in a thread that nobody waits long for. Whatever goes wrong, there is nothing to
complete.
"""

import shlex
import threading
from pathlib import Path
from typing import Any

import click
from click.shell_completion import get_completion_class

from mqhost.fleet.memory import recall, remember
from mqhost.link.connection import Connection
from mqhost.link.roster import Roster
from mqhost.link.settings import Settings
from mqhost.link.settingsfile import Files

PREFIX = "prefix"
_FRESH = 30.0  # seconds
_PATIENCE = 1.0  # seconds, for the broker
_QUIET = 0.2
_SHELLS = ("bash", "zsh", "fish")


@click.command("completion")
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def completion_command(context: click.Context, shell: str) -> None:
    """Print the script that makes TAB complete commands, options, prefixes and names in SHELL.

    Where it belongs: for bash in ~/.bashrc and for zsh in ~/.zshrc the line
    eval "$(mqboard completion bash)", with the shell's name in it; for fish the file
    ~/.config/fish/completions/mqboard.fish.

    \b
    Examples:
      mqboard completion bash
      mqboard completion fish > ~/.config/fish/completions/mqboard.fish
    """
    found = get_completion_class(shell)
    assert found is not None, shell
    root = context.find_root()
    click.echo(found(root.command, {}, "mqboard", "_MQBOARD_COMPLETE").source())


def complete(what: str, options: dict[str, Any], incomplete: str) -> list[str]:
    """Return what begins with `incomplete`: prefixes, or names in that table of mqboard.toml."""
    threading.excepthook = lambda arguments: None  # of the network's thread
    try:
        files = Files(Path.cwd())
        if what != PREFIX:
            found = files.names(what)
        else:
            named = [str(files.board(name)[PREFIX]) for name in files.names("boards")]
            found = [*named, *_prefixes(options)]
    except Exception:  # at TAB nobody wants to read of it
        return []
    # What the shell would take apart is left for people to type.
    return sorted({one for one in found if one.startswith(incomplete) and shlex.quote(one) == one})


def _prefixes(options: dict[str, Any]) -> tuple[str, ...]:
    """Return the prefixes that there are at the broker that is meant."""
    given = {key: value for key, value in options.items() if key not in (PREFIX, "to", "group")}
    settings = Settings.resolve(given, asking=False)
    known = recall(settings)
    if known and known.age < _FRESH:
        return known.prefixes
    found: list[str] = []

    def ask() -> None:
        connection = Connection(settings)
        connection.connect()
        with Roster(connection) as roster:
            found.extend(roster.settle(_QUIET))
        remember(settings, found)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(_PATIENCE)
    return tuple(found) or (known.prefixes if known else ())
