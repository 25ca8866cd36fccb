"""Adopts a new board: flashes it, gives it its configuration, and meets it over MQTT.

    broker there? → firmware and configuration over USB → birth message → eval 1+1

What no option says is asked for. The broker comes first: a board that is flashed but cannot be met
is no help to anybody.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote
from typing import Any

import click
from rich.console import Console

import mqwire
from mqhost.build import board as boards
from mqhost.cli.edge import FILE, Edge
from mqhost.cli.terminal import display
from mqhost.cli.terminal.printing import clean, say
from mqhost.cli.terminal.questions import Questions, replacing
from mqhost.errors import BoardError, SilentBoardError
from mqhost.link.boardconfig import Wish, is_loopback
from mqhost.link.session import Session, Status
from mqhost.link.settings import Settings, command_line
from mqhost.paths import TASK
from mqhost.usb.serial_port import SIM, find_port

BIRTH_TIMEOUT = 90.0  # seconds: Wi-Fi, DHCP and DNS at their slowest
_CODE, _ANSWER = b"1+1", b"2"


@dataclass(frozen=True)
class Adoption:
    """What the options said. `wish.server` is the broker as the board reaches it."""

    board: str | None = None
    port: str | None = None
    wish: Wish = Wish()
    config: Path | None = None
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    baud: int | None = None
    force: bool = False
    birth_timeout: float = BIRTH_TIMEOUT
    folder: Path | None = None


def adopt(adoption: Adoption, settings: Settings, questions: Questions, console: Console) -> Status:
    """Adopt a board and return its birth message; raises ToolError where it does not go on."""
    # Not at the top: what flashing is done with is an extra.
    from mqhost.usb.flashing import Firmware, check_kind
    from mqhost.usb.provision import Provision, provision

    board = boards.find(adoption.board or questions.text("Which board", "--board", "esp32"))
    check_kind(board, adoption.port)
    firmware = Firmware.load(board, adoption.folder)
    port = find_port(adoption.port)
    wish = adoption.wish
    if not adoption.config:
        wish = _ask(wish, settings, questions, simulated=port.startswith(SIM))
        if wish.tls is None and not adoption.ca and wish.psk is None:
            wish = replace(wish, tls=settings.tls)
    what = Provision.make(
        wish,
        config=adoption.config,
        ca=adoption.ca,
        cert=adoption.cert,
        key=adoption.key,
        modules=firmware.modules,
        secret=questions.secret,
    )
    settings = replace(settings, prefix=what.config["prefix"])
    for note in what.notes:
        say(console, note)
    with Session(settings) as session:
        say(console, f"The broker {settings.where} is there.")
        session.status()  # what was said before the board is new does not count
        births = session.births

        def write(force: bool) -> str:
            with display.Display(console, {}) as bar:
                return provision(
                    board,
                    what,
                    port,
                    firmware=firmware,
                    baud=adoption.baud,
                    force=force,
                    progress=bar.show,
                )

        say(console, replacing(write, adoption.force, questions))
        birth = _meet(session, births, adoption, port, lambda line: say(console, line))
    go_on = command_line(session.prefix, "info")
    say(console, f"{session.prefix} is yours. Go on with: {go_on}")
    return birth


def _ask(wish: Wish, settings: Settings, questions: Questions, simulated: bool) -> Wish:
    """Ask for what is missing in `wish`."""
    server = wish.server
    ours = not settings.path and wish.psk is None  # boards have no WebSockets, we no keys
    if not server and ours and (simulated or not is_loopback(settings.server)):
        # The broker that we use ourselves.
        server = f"{settings.server}:{settings.port}"
    return replace(
        wish,
        ssid=wish.ssid or questions.text("Name of the Wi-Fi network", "--ssid"),
        server=server or questions.text("Broker, as the board reaches it", "--broker"),
        prefix=wish.prefix or questions.text("Topic prefix", "--prefix", "esp32/test"),
    )


def _meet(
    session: Session,
    births: int,
    adoption: Adoption,
    port: str,
    say: Callable[[str], None],
) -> Status:
    """Wait for a birth message that is new, and let the board evaluate something."""
    if port.startswith(SIM):
        path = port.removeprefix(SIM)
        say(f"Now start it: {command_line(session.prefix, f'sim --flash {quote(path)}')}")
    say(f"Waiting for {session.prefix} to announce itself, up to {adoption.birth_timeout:g} s.")
    birth = session.wait_status(
        lambda status: session.births > births and status.get("state") == mqwire.ONLINE,
        adoption.birth_timeout,
    )
    if birth is None:
        raise SilentBoardError(_silence(session, adoption, port))
    version, slot = (clean(str(birth.get(key))) for key in ("version", "slot"))
    say(f"It is there: {version} in slot {slot}.")
    answer = session.request("eval", _CODE).data
    if answer.strip() != _ANSWER:
        raise BoardError(f"{session.prefix} thinks that {_CODE.decode()} is {answer[:40]!r}.")
    asked = command_line(session.prefix, f"eval '{_CODE.decode()}'")
    say(f"{asked} → {_ANSWER.decode()}")
    return birth


def _silence(session: Session, adoption: Adoption, port: str) -> str:
    """Make the error for a board that did not come."""
    console = "where it runs" if port.startswith(SIM) else f"{TASK} monitor --port {port}"
    return (
        f"{session.prefix} did not announce itself within {adoption.birth_timeout:g} s. It is "
        f"flashed; its console tells more: {console}. The usual reasons: a wrong Wi-Fi password, a "
        "network on 5 GHz only, a broker that the board cannot reach or that refuses it."
    )


@click.command("adopt")
@click.option("--board", help="The board's definition, as esp32.  [asked for]")
@click.option("--port", help="Serial port, or sim:PATH.  [the only serial port]")
@click.option("--ssid", help="Name of the Wi-Fi network.  [asked for]")
@click.option("--broker", help="The broker as the board reaches it: HOST or HOST:PORT.")
@click.option("--broker-user", help="The board's user name at the broker.  [none]")
@click.option("--psk", help="The board's identity at a broker with pre-shared keys.  [none]")
@click.option("--config", type=FILE, help="A whole configuration, instead of the questions.")
@click.option("--ca", type=FILE, help="PEM file of the CA for the board.")
@click.option("--cert", type=FILE, help="PEM file of the board's certificate.")
@click.option("--key", type=FILE, help="PEM file of its key.")
@click.option(
    "--board-tls/--no-board-tls", default=None, help="TLS for the board or none.  [as for us]"
)
@click.option("--baud", type=int, help="Speed of the transfer.  [460800]")
@click.option("--force", is_flag=True, help="Replace the files that are on the board.")
@click.option(
    "--birth-timeout",
    type=click.FloatRange(min=1),
    default=BIRTH_TIMEOUT,
    show_default=True,
    help="Seconds to wait for the board to announce itself.",
)
@click.pass_obj
def adopt_command(
    edge: Edge,
    ssid: str | None,
    broker: str | None,
    broker_user: str | None,
    psk: str | None,
    board_tls: bool | None,
    **options: Any,
) -> None:
    """Flash a board over USB, give it its configuration, and meet it over MQTT.

    What no option says is asked for. The Wi-Fi password is always asked for, or taken from
    MQBOARD_WIFI_PASSWORD; the board's password at the broker from MQBOARD_BROKER_PASSWORD, its
    pre-shared key from MQBOARD_BROKER_PSK.

    \b
    Examples:
      mqboard adopt
      mqboard --server broker.lan --prefix farm/pump adopt --board esp32 --ssid farm
      mqboard --server broker.lan adopt --broker broker.lan:8885 --psk farm-pump
    """
    settings = edge.settings
    wish = Wish(ssid, broker, settings.prefix or None, broker_user, board_tls, psk)
    adopt(Adoption(wish=wish, **options), settings, Questions.at_terminal(), edge.console)
