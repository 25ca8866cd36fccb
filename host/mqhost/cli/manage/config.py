"""Defines `mqboard config`: shows a board's configuration, changes it, says what became of it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from mqhost.cli.edge import CommandGroup, Edge, json_option
from mqhost.cli.many import ForMany
from mqhost.cli.terminal.display import Display
from mqhost.cli.terminal.printing import json_text, say
from mqhost.cli.terminal.questions import Questions
from mqhost.cli.terminal.tables import Listing, show
from mqhost.errors import UsageError
from mqhost.link.boardconfig import (
    BROKER_PASSWORD,
    BROKER_PSK,
    WIFI_PASSWORD,
    check,
    load,
    load_text,
    unknown,
)
from mqhost.link.session import Session
from mqhost.link.settings import command_line
from mqhost.manage import configchange, configuration
from mqhost.manage.configchange import Confirmed, change, fetch_settled
from mqhost.manage.configuration import (
    Configuration,
    Difference,
    differences,
    fetch,
    fetch_previous,
)

_STAGES = {
    configchange.SETTLE: "Waiting until the board has proved what it runs with",
    configchange.SEND: "Sending the configuration",
    configchange.TRY: "The board restarts and tries it",
}
Record = dict[str, Any]
_OTHER_SECRET = "MQBOARD_SECRET"
CONFIG_FILE = click.Path(path_type=Path, dir_okay=False, allow_dash=True)
_STDIN = "standard input"
_NOTHING = "Nothing to change: the board has it so already."


@click.group("config", cls=CommandGroup)
def config_command() -> None:
    """Show or change a board's configuration, which no change can lock you out of.

    A new configuration is tried: if the board does not reach its broker with it in time
    (update.confirm_s), it comes back with the old one by itself. Keys are written with dots:
    broker.port, networks.0.password, modules.blink.pin.
    """


@config_command.command("get", cls=ForMany)
@click.argument("key", required=False)
@json_option
@click.pass_obj
def get_command(edge: Edge, key: str | None, as_json: bool) -> None:
    """Print the configuration, or the value of KEY.

    Secrets are shown as <secret KEY>; in a file for push or diff that means: as it is on the board.

    \b
    Examples:
      mqboard --prefix esp32/test config get
      mqboard --prefix esp32/test config get broker.host
      mqboard --prefix esp32/test config get --json > board.json
    """
    with edge.session() as session:
        now = fetch(session)
    record = configuration.ordered(now.record)
    value = configuration.pick(record, key) if key else record
    if as_json:
        say(edge.console, json_text(value))
    elif not key:
        show(edge.console, values_listing(record))
    else:
        say(edge.console, value if isinstance(value, str) else _text(value))


@config_command.command("set")
@click.argument("changes", metavar="KEY[=VALUE]...", nargs=-1, required=True)
@json_option
@click.pass_obj
def set_command(edge: Edge, changes: tuple[str, ...], as_json: bool) -> None:
    """Set keys, as broker.port=8883, and wait until the board runs with it, or is back without.

    Secrets are not for command lines: write the KEY alone, and it is asked for, or taken from
    MQBOARD_WIFI_PASSWORD, MQBOARD_BROKER_PASSWORD, MQBOARD_BROKER_PSK or, for all others,
    MQBOARD_SECRET.

    \b
    Examples:
      mqboard --prefix esp32/test config set update.confirm_s=120 log.level=info
      mqboard --prefix esp32/test config set networks.0.password
    """
    values = [wished(change, Questions.at_terminal()) for change in changes]

    def edited(now: Record) -> Record:
        for key, value in values:
            configuration.assign(now, key, value)
        check(now)
        return now

    _change(edge, edited, as_json)


@config_command.command("unset")
@click.argument("keys", metavar="KEY...", nargs=-1, required=True)
@json_option
@click.pass_obj
def unset_command(edge: Edge, keys: tuple[str, ...], as_json: bool) -> None:
    """Remove keys, so that their defaults hold, and wait as with set.

    \b
    Examples:
      mqboard --prefix esp32/test config unset broker.fallback
    """

    def edited(now: Record) -> Record:
        for key in sorted(keys, reverse=True):  # of a list, the last ones first
            configuration.remove(now, key)
        check(now)
        return now

    _change(edge, edited, as_json)


@config_command.command("push")
@click.argument("file", type=CONFIG_FILE)
@json_option
@click.pass_obj
def push_command(edge: Edge, file: Path, as_json: bool) -> None:
    """Give the board the configuration in FILE, and wait until it runs with it, or is back.

    FILE may be -, for standard input.

    \b
    Examples:
      mqboard --prefix esp32/test config push board.json
      jq '.log.level = "debug"' board.json | mqboard --prefix esp32/test config push -
    """
    where, record = load_argument(edge, file)
    check(record, where)
    _change(edge, lambda now: record, as_json)


@config_command.command("diff")
@click.argument("file", type=CONFIG_FILE)
@json_option
@click.pass_obj
def diff_command(edge: Edge, file: Path, as_json: bool) -> None:
    """Say in which keys FILE is not what the board has; no secret is shown, or sent.

    \b
    Examples:
      mqboard --prefix esp32/test config diff board.json
    """
    where, record = load_argument(edge, file)
    with edge.session() as session:
        found = differences(fetch(session), record)
    if found or as_json:
        show(edge.console, differences_listing(found, where), as_json)
    else:
        say(edge.console, f"{where} is what the board has.")


@config_command.command("revert")
@click.option("--yes", is_flag=True, help="Do not ask whether that is what is wanted.")
@json_option
@click.pass_obj
def revert_command(edge: Edge, yes: bool, as_json: bool) -> None:
    """Go back to the configuration before this one; it is tried as well. Again: and forth.

    What changes is shown first, and asked for: in a script, --yes answers.

    \b
    Examples:
      mqboard --prefix esp32/test config revert
      mqboard --prefix esp32/test config revert --yes
    """
    _change(edge, None, as_json, yes)


def load_argument(edge: Edge, file: Path) -> tuple[str, Record]:
    """Return the configuration in `file`, and what that is called."""
    if str(file) != "-":
        return str(file), load(file)
    try:
        return _STDIN, load_text(edge.text_argument("-"), _STDIN)
    except UnicodeDecodeError as error:
        raise UsageError(f"{_STDIN} is no configuration: {error}.") from error


def _change(
    edge: Edge, edited: Callable[[Record], Record] | None, as_json: bool, yes: bool = True
) -> None:
    """Give the board what `edited` makes of its configuration, or (None) the one before; show what
    changes, and say what became of it. Unless `yes`, ask first.
    """
    console = Console(stderr=True) if as_json else edge.console
    found: list[Difference] = []
    notes: list[str] = []
    with edge.session() as session:
        with Display(console, _STAGES) as display:
            now = fetch_settled(session, lambda stage: display.show(stage, 0, 0))
        record = edited(json.loads(json.dumps(now.record))) if edited else None
        wanted = fetch_previous(session, now) if record is None else record
        if wanted is not None:
            found, notes = differences(now, wanted), unknown(wanted)
            for note in notes:
                say(console, note)
            if found:
                show(console, differences_listing(found, "new" if edited else "before"))
            elif now.file == "same":
                nothing = changed_record(session.prefix, 0, [])
                say(edge.console, json_text(nothing) if as_json else _NOTHING)
                return
        if not (yes or Questions.at_terminal().agree(f"{session.prefix} goes back to that?")):
            raise UsageError("Nothing was sent. In a script, --yes says that it is wanted.")
        done = _followed(console, session, now, record)
    for key in done.unknown:  # its firmware may be older than this tool
        if not any(note.startswith(f"{key} ") for note in notes):
            say(console, f"The board's firmware does not know {key}, and ignores it.")
    for path in done.unkept:
        say(
            console,
            f"The board keeps no copy of {path}, for it is too large: without its filesystem the "
            "board will not reach the broker that needs it. Chains of certificates can be shorter, "
            "keys of elliptic curves are smaller.",
        )
    _report(edge, session.prefix, done, found, as_json)


def _report(
    edge: Edge, prefix: str, done: Confirmed, found: list[Difference], as_json: bool
) -> None:
    if as_json:
        say(edge.console, json_text(changed_record(done.prefix, done.seconds, found)))
        return
    moved = f" Its prefix is {done.prefix} now." if done.prefix != prefix else ""
    say(edge.console, f"The board runs the new configuration, after {done.seconds:.1f} s.{moved}")


def changed_record(prefix: str, seconds: float, found: list[Difference]) -> Record:
    """Return what is told to scripts of a board that has another configuration now."""
    changed = [item.record() for item in found]
    return {"confirmed": True, "prefix": prefix, "seconds": round(seconds, 3), "changed": changed}


def _followed(
    console: Console, session: Session, now: Configuration, record: Record | None
) -> Confirmed:
    """Change it and show how far that is; who stops us hears what goes on without us."""
    with Display(console, _STAGES) as display:
        try:
            return change(session, now, record, lambda stage: display.show(stage, 0, 0))
        except KeyboardInterrupt:
            if display.stage == configchange.TRY:
                look = command_line(session.prefix, "status")
                say(console, f"The board tries it all the same, and goes back if it must: {look}")
            raise


def values_listing(record: Record) -> Listing:
    """List what is in `record`."""
    rows = [(key, _text(value)) for key, value in configuration.flatten(record).items()]
    return Listing(("key", "value"), (rows,), record, prose={1})


def differences_listing(found: list[Difference], other: str) -> Listing:
    """List the keys that are not the same on the board and in `other`."""
    rows = [(item.key, item.old or "-", item.new or "-") for item in found]
    return Listing(
        ("key", "board", other), (rows,), [item.record() for item in found], prose={1, 2}
    )


def wished(change: str, questions: Questions) -> tuple[str, Any]:
    """Return key and value of KEY=VALUE; those of a secret KEY come from elsewhere."""
    key, equals, text = change.partition("=")
    configuration.check_known(key)
    if not configuration.is_secret(key):
        if not equals:
            raise UsageError(f"{key} to what? Write {key}=VALUE, or: config unset {key}.")
        value = configuration.value_of(key, text)
        if configuration.has_secrets(key, value):
            raise UsageError(
                f"There is a secret in the value of {key}, and command lines are visible to all "
                "users of a machine. Set it by itself, or push a file."
            )
        return key, value
    if equals:
        raise UsageError(
            f"{key} is a secret, and command lines are visible to all users of a machine. Write "
            f"{key} alone: it is asked for, or taken from {_variable(key)}."
        )
    return key, questions.secret(f"New value of {key}", _variable(key))


def _variable(key: str) -> str:
    if key.startswith("networks."):
        return WIFI_PASSWORD
    if key.endswith(".psk.key"):
        return BROKER_PSK
    return BROKER_PASSWORD if key.startswith("broker.") else _OTHER_SECRET


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
