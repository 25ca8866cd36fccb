"""Defines `mqboard fleet serve`: the fleet over HTTP, until Ctrl-C."""

import time
from contextlib import suppress
from pathlib import Path

import click

from mqhost.cli.edge import FILE, Edge, to_stderr
from mqhost.cli.fleet.homeassistant import shown_besides
from mqhost.cli.fleet.rollout.database import database_option
from mqhost.cli.terminal.printing import say
from mqhost.errors import UsageError
from mqhost.fleet.server.door.access import HOST, PORT, Access
from mqhost.fleet.store.opening import open_store
from mqhost.fleet.store.records import Entry, StoreError


@click.command("serve")
@click.option(
    "--listen",
    metavar="HOST:PORT",
    default=f"{HOST}:{PORT}",
    show_default=True,
    help="Where to listen; others than this machine have to log in.",
)
@click.option(
    "--url",
    "urls",
    metavar="URL",
    multiple=True,
    help="The address that people use, where it is another one, as behind a reverse proxy.",
)
@click.option("--cert", type=FILE, help="The server's certificate, PEM: it speaks https then.")
@click.option("--key", type=FILE, help="The key of the certificate, PEM.")
@click.option(
    "--proxy-header",
    metavar="NAME",
    default="",
    help="The header in which a reverse proxy says who it is, as X-Forwarded-User.",
)
@click.option(
    "--proxy-from",
    metavar="ADDRESS",
    multiple=True,
    help="Where that proxy is: nobody else is believed.",
)
@click.option(
    "--parallel",
    metavar="N",
    type=click.IntRange(1, 256),
    default=16,
    show_default=True,
    help="How many boards are changed at a time.",
)
@click.option(
    "--homeassistant",
    metavar="PATTERN",
    multiple=True,
    help="Show these boards in Home Assistant, too, as mqboard fleet homeassistant.",
)
@click.option(
    "--image",
    "images",
    metavar="PATH",
    type=click.Path(path_type=Path),
    multiple=True,
    help="App image that Install in Home Assistant brings to boards of its type.",
)
@database_option
@click.pass_obj
def serve_command(
    edge: Edge,
    database: str | None,
    listen: str,
    urls: tuple[str, ...],
    cert: Path | None,
    key: Path | None,
    proxy_header: str,
    proxy_from: tuple[str, ...],
    parallel: int,
    homeassistant: tuple[str, ...],
    images: tuple[Path, ...],
) -> None:
    """Serve the fleet over HTTP until Ctrl-C: a page for people, an API for scripts, and metrics.

    On loopback, as long as there are no users, everybody on this machine may do everything.
    Elsewhere it takes users (mqboard fleet user add), or a reverse proxy that says who it is.

    \b
    Examples:
      mqboard fleet serve
      mqboard fleet serve --listen 0.0.0.0:8443 --cert fleet.pem --key fleet.key
      mqboard fleet serve --homeassistant 'house/#' --image build/esp32/app.bin
      mqboard fleet serve --proxy-header X-Forwarded-User --proxy-from 127.0.0.1
    """
    if bool(cert) != bool(key):
        raise UsageError("A certificate needs its key: --cert and --key go together.")
    access = Access.parse(listen, urls, proxy_header, proxy_from, bool(cert))
    with open_store(database or edge.settings.database or None) as store:
        from mqhost.fleet.server.fleet import Fleet, Options
        from mqhost.fleet.server.groups import Groups
        from mqhost.fleet.server.serve import Certificate, Server

        options = Options(access, Groups(edge.groups), parallel)
        fleet = Fleet(edge.settings, store, options)
        access.check(fleet.users.any())

        def audit(prefix: str, what: str, result: str) -> None:
            with suppress(StoreError):  # the board is so all the same
                store.note([Entry(time.time(), "homeassistant", what, None, prefix, result)])

        with fleet, shown_besides(edge, homeassistant, images, audit):
            certificate = Certificate(cert, key) if cert and key else None
            server = Server(fleet, certificate)
            say(edge.console, f"The fleet at {edge.settings.where}: {access.shown}")
            if fleet.doorkeeper.open():
                to_stderr("There are no users: everybody on this machine may do everything.")
            with suppress(KeyboardInterrupt):
                server.run()
