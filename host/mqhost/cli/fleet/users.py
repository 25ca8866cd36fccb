"""Defines `mqboard fleet user`: who may do what with the fleet that is served."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from mqhost.cli.edge import CommandGroup, Edge, json_option, to_stderr
from mqhost.cli.fleet.rollout.database import database_option
from mqhost.cli.terminal.printing import json_text, say
from mqhost.cli.terminal.questions import Questions
from mqhost.cli.terminal.tables import Listing, show
from mqhost.errors import UsageError
from mqhost.fleet.rollout.control import person
from mqhost.fleet.store.opening import open_store

if TYPE_CHECKING:
    from mqhost.fleet.server.door.users import Users
    from mqhost.fleet.store.accounts import Account

_ROLES = ("look", "operate", "update")  # of server.door.users, whose import takes its time
_VARIABLE = "MQBOARD_USER_PASSWORD"
_COLUMNS = ("user", "role", "password", "since", "tokens")

role_option = click.option(
    "--role", type=click.Choice(_ROLES), default="look", show_default=True, help="What one may do."
)


@click.group("user", cls=CommandGroup)
def user_command() -> None:
    """Say who may do what with the fleet that mqboard fleet serve shows.

    look: see everything but secrets. operate: that, and run code, restart boards, change their
    configuration. update: that, and bring firmware onto boards. Users are kept in the database.
    """


@contextmanager
def _users(edge: Edge, database: str | None, what: str, result: str = "") -> "Iterator[Users]":
    """Give the users; what was done, if anything, is noted in the audit."""
    with open_store(database or edge.settings.database or None) as store:
        from mqhost.fleet.server.door.users import Users
        from mqhost.fleet.store.accounts import Accounts
        from mqhost.fleet.store.records import Entry

        yield Users(Accounts(store.database))
        if what:
            store.note([Entry(store.now(), person(), what, None, None, result)])


@user_command.command("add")
@click.argument("name")
@role_option
@click.option(
    "--no-password", is_flag=True, help="One whom a reverse proxy names, or who has tokens only."
)
@database_option
@click.pass_obj
def add_command(edge: Edge, database: str | None, name: str, role: str, no_password: bool) -> None:
    """Add the user NAME; the password is asked for, or taken from MQBOARD_USER_PASSWORD.

    \b
    Examples:
      mqboard fleet user add anna --role update
      mqboard fleet user add ci --role update --no-password
    """
    from mqhost.fleet.server.door.users import check_name

    check_name(name)
    password = None if no_password else _password(name)
    with _users(edge, database, f"user add {name}", role) as users:
        users.add(name, role, password)
    say(edge.console, f"{name} may {role} from now on.")


@user_command.command("list")
@json_option
@database_option
@click.pass_obj
def list_command(edge: Edge, database: str | None, as_json: bool) -> None:
    """List the users, with their roles.

    \b
    Examples:
      mqboard fleet user list
      mqboard fleet user list --json
    """
    with _users(edge, database, "") as users:
        known = users.all()
        tokens = {account.name: len(users.tokens(account.name)) for account in known}
    show(edge.console, users_listing(known, tokens), as_json)


def users_listing(known: "Sequence[Account]", tokens: dict[str, int]) -> Listing:
    """List users; `tokens` says how many each has."""
    rows, records = [], []
    for account in known:
        since = datetime.fromtimestamp(account.created_at, UTC)
        count = tokens.get(account.name, 0)
        record = {"name": account.name, "role": account.role, "password": bool(account.password)}
        records.append(record | {"since": since.isoformat(timespec="seconds"), "tokens": count})
        has = "yes" if account.password else "none"
        rows.append([account.name, account.role, has, f"{since:%Y-%m-%d}", str(count)])
    return Listing(_COLUMNS, (rows,), records, numbers={4}, lean=True)


@user_command.command("remove")
@click.argument("name")
@database_option
@click.pass_obj
def remove_command(edge: Edge, database: str | None, name: str) -> None:
    """Remove the user NAME: sessions and tokens of that one end at once.

    \b
    Examples:
      mqboard fleet user remove anna
    """
    with _users(edge, database, f"user remove {name}", "removed") as users:
        users.remove(name)
    say(edge.console, f"{name} is no user any more.")


@user_command.command("password")
@click.argument("name")
@database_option
@click.pass_obj
def password_command(edge: Edge, database: str | None, name: str) -> None:
    """Give the user NAME another password: sessions and tokens of that one end.

    \b
    Examples:
      mqboard fleet user password anna
    """
    password = _password(name)
    with _users(edge, database, f"user password {name}", "changed") as users:
        users.change(name, password=password)
    say(edge.console, f"{name} has another password.")


@user_command.command("role")
@click.argument("name")
@click.argument("role", type=click.Choice(_ROLES))
@database_option
@click.pass_obj
def role_command(edge: Edge, database: str | None, name: str, role: str) -> None:
    """Give the user NAME another ROLE: sessions of that one end, tokens stay.

    \b
    Examples:
      mqboard fleet user role anna operate
    """
    with _users(edge, database, f"user role {name}", role) as users:
        users.change(name, role=role)
    say(edge.console, f"{name} may {role} from now on.")


@user_command.command("token")
@click.argument("name")
@click.option("--label", default="script", show_default=True, help="What it is for.")
@role_option
@click.option("--days", type=click.IntRange(1, 3650), help="How long it lasts.  [for ever]")
@click.option("--remove", is_flag=True, help="Remove the tokens of that label instead.")
@json_option
@database_option
@click.pass_obj
def token_command(
    edge: Edge,
    database: str | None,
    name: str,
    label: str,
    role: str,
    days: int | None,
    remove: bool,
    as_json: bool,
) -> None:
    """Make a token for the user NAME, with which a script is let in; it is shown once.

    A script sends it as the header Authorization: Bearer TOKEN. It gives at most --role, and never
    more than the user has.

    \b
    Examples:
      mqboard fleet user token ci --label nightly --role update --days 90
      mqboard fleet user token ci --label nightly --remove
    """
    what = f"user token {name} {label:.60}"
    with _users(edge, database, what, "removed" if remove else f"made, {role}") as users:
        if remove:
            users.remove_token(name, label)
        else:
            token = users.token(name, label, role, days * 86400.0 if days else None)
            user = users.named(name)
    if remove:
        say(edge.console, f"The tokens {label} of {name} are removed.")
        return
    given = min(role, user.role if user else role, key=_ROLES.index)
    if given != role:
        to_stderr(
            f"{name} may only {given}, and with this token, too; it gives {role} once {name} has "
            f"that role: mqboard fleet user role {name} {role}"
        )
    if as_json:
        told = {"token": token, "user": name, "role": role, "gives": given, "label": label}
        say(edge.console, json_text(told))
    else:
        say(edge.console, token)


def _password(name: str) -> str:
    password = Questions.at_terminal().secret(f"Password of {name}", _VARIABLE)
    if not password:
        raise UsageError("It takes a password. One without is made with --no-password.")
    return password
