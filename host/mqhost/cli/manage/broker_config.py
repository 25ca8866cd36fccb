"""Defines `mqboard broker-config`: makes and keeps a broker's configuration, with its CA."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from mqhost.cli.edge import Edge
from mqhost.cli.terminal.printing import counted, json_text, say
from mqhost.errors import ToolError

if TYPE_CHECKING:
    from mqhost.broker.access import Access
    from mqhost.broker.report import Report

PASSPHRASE = "MQBOARD_CA_PASSPHRASE"
_SHOWN = 12  # names in a line


@click.command("broker-config")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder to make, or to bring up to date.",
)
@click.option(
    "--boards",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="TOML file of boards and operators.  [boards.toml in the folder]",
)
@click.option(
    "--host",
    "hosts",
    multiple=True,
    help="Name or address of the broker, as boards reach it; more: also for its certificate.",
)
@click.option(
    "--renew",
    multiple=True,
    metavar="NAME",
    help="New certificate or password for that user; server: for the broker.",
)
@click.option(
    "--revoke",
    multiple=True,
    metavar="NAME",
    help="Shut out that user's certificates but the newest; with --renew, or if it is the only "
    "one, all that there are, and make a new one.",
)
@click.option("--remove", is_flag=True, help="Shut out those that the file has no more.")
@click.option("--replace", is_flag=True, help="Replace, and keep aside, files that were changed.")
@click.option(
    "--ca-key",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The CA's key.  [ca/ca.key in the folder]",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--check", "checks", is_flag=True, help="Only see whether the folder is in order.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@click.pass_obj
def broker_config_command(
    edge: Edge,
    out: Path,
    file: Path | None,
    hosts: tuple[str, ...],
    checks: bool,
    as_json: bool,
    renew: tuple[str, ...],
    revoke: tuple[str, ...],
    remove: bool,
    replace: bool,
    ca_key: Path | None,
    dry_run: bool,
) -> None:
    """Make a mosquitto configuration with TLS, in which each board has its own topics only.

    A private CA, certificates or passwords for all, access rules, and what each board and operator
    needs. Run it again after each change of the file: what was given out stays valid.

    \b
    Examples:
      mqboard broker-config --out mq --host broker.lan
      mqboard broker-config --out mq --boards farm.toml --dry-run
      mqboard broker-config --out mq --remove
      mqboard broker-config --out mq --renew farm-pump --ca-key /media/usb/ca.key
      mqboard broker-config --out mq --check
    """
    from mqhost.broker.access import Access
    from mqhost.broker.configure import configure
    from mqhost.broker.report import Wish
    from mqhost.broker.start import find_file
    from mqhost.cli.terminal.questions import Questions

    file = find_file(out, file, hosts, make=not (checks or dry_run))
    access = Access.load(file, hosts)
    if checks:
        _check(edge.console, out, access, file, as_json)
        return
    wish = Wish(
        renew=renew,
        revoke=revoke,
        ca_key=ca_key,
        passphrase=lambda: Questions.at_terminal().secret("Passphrase of the CA's key", PASSPHRASE),
        new_passphrase=os.environ.get(PASSPHRASE, ""),
        remove=remove,
        replace=replace,
        dry_run=dry_run,
    )
    report = configure(out, access, str(file), wish)
    if as_json:
        say(edge.console, json_text(asdict(report) | {"broker_changed": report.broker_changed}))
    else:
        _tell(edge.console, report, access, dry_run)


def _check(console: Console, out: Path, access: "Access", file: Path, as_json: bool) -> None:
    from mqhost.broker.check import check

    found = check(out, access, str(file))
    if as_json:
        say(console, json_text(asdict(found)))
    else:
        for sentence in found.advice:
            say(console, sentence)
    if found.wrong:
        raise ToolError("\n".join(found.wrong))
    if not as_json:
        say(console, f"{out} is in order.")


def _tell(console: Console, report: "Report", access: "Access", dry_run: bool) -> None:
    if not report.written and not report.deleted:
        say(
            console,
            f"{report.folder} has all that {_count(report.boards, 'board')} and "
            f"{_count(report.operators, 'operator')} need.",
        )
    for word, names in (
        ("New", report.added),
        ("Renewed", report.renewed),
        ("Shut out", report.removed),
    ):
        if names:
            say(console, f"{word}: {_some(names)}")
    if report.written or report.deleted:
        count = len(report.written) + len(report.deleted)
        done = "would be" if dry_run else "was" if count == 1 else "were"
        say(console, f"{counted(count, 'file')} {done} written or removed in {report.folder}.")
    for name in report.edited:
        say(console, f"{name} was changed by somebody, and is left so; --replace makes it anew.")
    for note in report.notes:
        say(console, note)
    if not dry_run:
        _tell_next(console, report, access)


def _tell_next(console: Console, report: "Report", access: "Access") -> None:
    if report.made_ca:
        say(
            console,
            f"The CA's key is {report.folder}/ca/ca.key. Whoever has it can be any board and any "
            "operator: keep it, and a copy, where no network comes. Only new certificates and "
            f"--remove need it. The CA is valid until {report.ca_expires}.",
        )
    if report.broker_changed:
        folder = access.site.folder
        where = f"{folder} on the broker's machine" if folder else "the broker"
        how = "restart" if report.restart else "reload (SIGHUP)"
        say(console, f"Next: bring {report.folder}/mosquitto to {where}, and {how} mosquitto.")
    if report.revoked:
        say(
            console,
            "Until it is restarted, who is connected with a certificate or key that was revoked "
            f"stays so: {_some(report.revoked)}.",
        )
    if report.added or report.renewed:
        say(console, f"What each needs is in {report.folder}/boards and {report.folder}/operators.")


def _some(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
