"""Defines `mqboard flash`, `provision` and `monitor`: a chip at a cable.

What they are done with is imported when they run: parts of it are an extra (mqhost.extras).
"""

from typing import Any

import click

from mqhost.cli.edge import FILE, Edge
from mqhost.link.boardconfig import Wish

_port_option = click.option("--port", help="The serial port, or sim:PATH.  [the only serial port]")
_burn_option = click.option(
    "--burn-efuses",
    "burn",
    is_flag=True,
    help="Of a secured board: its chip may be bound to its key for good (it says so).",
)
_baud_option = click.option("--baud", type=int, help="The speed of the transfer.  [460800]")


@click.command("flash")
@click.option(
    "--board", default="esp32", show_default=True, help="The board to flash, as it was built."
)
@_port_option
@click.option(
    "--erase",
    is_flag=True,
    help="Erase everything first, with the files and the configuration on the board.",
)
@_burn_option
@_baud_option
@click.pass_obj
def flash_command(
    edge: Edge, board: str, port: str | None, erase: bool, burn: bool, baud: int | None
) -> None:
    """Write a board's firmware over USB, the first time or after all else failed.

    \b
    Examples:
      mqboard flash --board esp32
      mqboard flash --board esp32 --port /dev/ttyUSB0 --erase
    """
    from mqhost.cli.tasks.flash_commands import run_flash

    run_flash(board, port or "", edge.console, erase=erase, baud=baud or 0, burn=burn)


@click.command("provision")
@click.option(
    "--board",
    default="esp32",
    show_default=True,
    help="The board's definition: it says where the filesystem is.",
)
@_port_option
@click.option(
    "--config",
    type=FILE,
    help="A configuration file (docs/board.md); the options below change it.",
)
@click.option(
    "--ssid",
    help="The Wi-Fi network's name; its password is asked for, or in MQBOARD_WIFI_PASSWORD.",
)
@click.option("--server", help="The broker as the board reaches it: HOST or HOST:PORT.")
@click.option("--prefix", help="The board's topic prefix, as esp32/test.")
@click.option(
    "--username",
    help="The board's name at the broker; password asked, or MQBOARD_BROKER_PASSWORD.",
)
@click.option("--ca", type=FILE, help="PEM file of the CA that signed the broker's certificate.")
@click.option("--cert", type=FILE, help="PEM file of the board's certificate, if it has one.")
@click.option("--key", type=FILE, help="PEM file of its key.")
@click.option(
    "--psk",
    help="Its identity, if it has a pre-shared key: that is asked for, or MQBOARD_BROKER_PSK.",
)
@click.option("--no-tls", is_flag=True, help="The broker speaks no TLS.")
@click.option(
    "--setup",
    is_flag=True,
    help="It opens a setup network with a password of its own, which is printed.",
)
@click.option("--output", type=FILE, help="Write the image into this file instead of onto a chip.")
@click.option("--firmware", is_flag=True, help="Write the firmware with it.")
@click.option("--force", is_flag=True, help="Replace the files that are on the board.")
@_burn_option
@_baud_option
@click.pass_obj
def provision_command(
    edge: Edge,
    board: str,
    port: str | None,
    ssid: str | None,
    server: str | None,
    prefix: str | None,
    username: str | None,
    psk: str | None,
    no_tls: bool,
    baud: int | None,
    **options: Any,
) -> None:
    """Give a board its configuration over USB: network, broker, prefix.

    \b
    Examples:
      mqboard provision --ssid farm --server broker.lan --prefix farm/pump --ca ca.pem
      mqboard provision --board esp32 --config board.json --output factory.bin
    """
    from mqhost.cli.tasks.flash_commands import run_provision

    wish = Wish(ssid, server, prefix, username, False if no_tls else None, psk)
    run_provision(board, port or "", wish, edge.console, baud=baud or 0, **options)


@click.command("monitor")
@click.option("--port", help="The serial port.  [the only one]")
@click.option("--baud", type=int, help="Its speed.  [115200]")
@click.pass_context
def monitor_command(context: click.Context, port: str | None, baud: int | None) -> None:
    """Show a board's console at a serial port until Ctrl-].

    \b
    Examples:
      mqboard monitor
      mqboard monitor --port /dev/ttyUSB0
    """
    from mqhost.usb.monitor import monitor

    context.exit(monitor(port, baud))
