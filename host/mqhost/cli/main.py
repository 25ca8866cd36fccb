"""Defines the command line: `mqboard --prefix esp32/test eval '45+876'`.

Options become Settings, each command calls its function in commands.py, and `main` is the edge:
the one place where errors are printed (to stderr) and become exit codes.

Exit codes: 0 done; 1 the board reported an error; 2 usage; 3 the broker is unreachable or refused
us; 4 the board is silent or offline; 5 the board refused; 130 Ctrl-C, SIGTERM or SIGHUP.
"""

import sys
from pathlib import Path
from typing import Any

import click

from mqhost.cli import commands
from mqhost.cli.adopt import BIRTH_TIMEOUT, Adoption, adopt
from mqhost.cli.edge import CommandGroup, Edge, json_option, raw_option, to_stderr
from mqhost.cli.manage.boards import boards_command
from mqhost.cli.manage.clock import clock_command
from mqhost.cli.manage.config import config_command
from mqhost.cli.manage.crash import crash_command
from mqhost.cli.manage.log import log_command
from mqhost.cli.manage.modules import modules_command
from mqhost.cli.manage.reset import reset_command
from mqhost.cli.manage.rollback import rollback_command
from mqhost.cli.printing import board_output, say
from mqhost.cli.questions import Questions
from mqhost.errors import ToolError
from mqhost.interrupt import ended_like_ctrl_c
from mqhost.link.boardconfig import Wish
from mqhost.signing.sign import sign
from mqhost.update.push import PATIENCE
from mqhost.update.store import remember

_INTERRUPTED = 130


@click.group(
    cls=CommandGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Every option of this list can also be set as MQBOARD_SERVER, MQBOARD_PREFIX, … in the "
    'environment, or in mqboard.toml (server = "…"). The password only there: MQBOARD_PASSWORD.',
)
@click.option("--prefix", help="Topic prefix of the board, as esp32/test.")
@click.option("--id", help="Hardware id of the board, or its beginning, if two have the prefix.")
@click.option("-s", "--server", help="Host name or address of the MQTT broker.  [127.0.0.1]")
@click.option("--port", type=int, help="Port of the broker.  [8883 with TLS, 1883 without]")
@click.option("--username", help="User name for the broker.")
@click.option("--tls/--no-tls", default=None, help="TLS or none.  [TLS, except to this machine]")
@click.option("--ca", help="PEM file of the CA that signed the broker's certificate.")
@click.option("--cert", help="PEM file of the client certificate.")
@click.option("--key", help="PEM file of the client certificate's key.")
@click.option("-T", "--timeout", type=float, help="Seconds to wait for a silent board.  [10]")
@click.option("-v", "--verbose", is_flag=True, help="Show the MQTT traffic on stderr.")
@click.pass_context
def cli(context: click.Context, verbose: bool, **options: Any) -> None:
    """Manage MicroPython boards over MQTT."""
    context.obj = Edge(options, verbose)


_FILE = click.Path(path_type=Path, dir_okay=False)


@cli.command("eval")
@click.argument("code")
@raw_option
@click.pass_obj
def eval_command(edge: Edge, code: str, raw: bool) -> None:
    """Evaluate Python CODE on the board and print the answer.

    An expression prints its value; statements print what they print. CODE - reads it from standard
    input. A traceback goes to stderr, with exit code 1.
    """
    if code == "-":
        code = sys.stdin.read()
    commands.run_eval(edge.settings, code, board_output(raw), debug=edge.debug)


@cli.command("info")
@json_option
@click.pass_obj
def info_command(edge: Edge, as_json: bool) -> None:
    """Ask the board for its version, image, slot, memory and uptime."""
    commands.run_info(edge.settings, edge.console, as_json=as_json, debug=edge.debug)


@cli.command("status")
@json_option
@click.pass_obj
def status_command(edge: Edge, as_json: bool) -> None:
    """Print what the broker remembers of the board; exit code 4 if it is offline.

    This asks the broker only, so it also works when the board is away.
    """
    commands.run_status(edge.settings, edge.console, as_json=as_json, debug=edge.debug)


@cli.command("ota")
@click.option("--board", help="Push the build of this board.  [what the device says it is]")
@click.option(
    "--image",
    type=click.Path(path_type=Path),
    help="App image to push, with its image.json beside it, or the first digits of the SHA-256 of "
    "one that was built or downloaded.  [build/BOARD/app.bin]",
)
@click.option("--retry-failed", is_flag=True, help="Also what the board tried and went back from.")
@click.option(
    "--base",
    type=click.Path(path_type=Path),
    help="App image that the board runs, to send only differences to it.  [as kept here]",
)
@click.option("--full", is_flag=True, help="Send the whole image, not differences.")
@click.option("--json", "as_json", is_flag=True, help="Print events, one JSON object a line.")
@click.option("--force", is_flag=True, help="Leave it to the board whether the image fits it.")
@click.option(
    "--patience",
    type=click.FloatRange(min=1),
    default=PATIENCE,
    show_default=True,
    help="Seconds without progress until the transfer is given up.",
)
@click.option(
    "--confirm-timeout",
    type=click.FloatRange(min=1),
    help="Seconds to wait for the new firmware to be confirmed.  [what the board gives it, and 60]",
)
@click.pass_obj
def ota_command(edge: Edge, board: str | None, image: Path | None, **options: Any) -> None:
    """Push new firmware and wait until the board has confirmed it.

    Interrupted or lost, it resumes when it is run again.
    """
    commands.run_ota(edge.settings, board, image, edge.console, debug=edge.debug, **options)


@cli.command("sign")
@click.argument("image", type=_FILE)
@click.pass_obj
def sign_command(edge: Edge, image: Path) -> None:
    """Sign the offer beside IMAGE, an app.bin that was built without the private key.

    The key is MQBOARD_SIGNING_KEY (PEM text or a file), or else the development key.
    """
    offer, app = sign(image)
    remember(app, offer)
    say(edge.console, f"Signed {offer.board} {offer.version} with key {offer.key}.")


@cli.command("adopt")
@click.option("--board", help="The board's definition, as esp32.  [asked for]")
@click.option("--port", help="Serial port, or sim:PATH.  [the only serial port]")
@click.option("--ssid", help="Name of the Wi-Fi network.  [asked for]")
@click.option("--broker", help="The broker as the board reaches it: HOST or HOST:PORT.")
@click.option("--broker-user", help="The board's user name at the broker.  [none]")
@click.option("--config", type=_FILE, help="A whole configuration, instead of the questions.")
@click.option("--ca", type=_FILE, help="PEM file of the CA for the board.")
@click.option("--cert", type=_FILE, help="PEM file of the board's certificate.")
@click.option("--key", type=_FILE, help="PEM file of its key.")
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
    board_tls: bool | None,
    **options: Any,
) -> None:
    """Flash a board over USB, give it its configuration, and meet it over MQTT.

    What no option says is asked for. The Wi-Fi password is always asked for, or taken from
    MQBOARD_WIFI_PASSWORD; the board's password at the broker from MQBOARD_BROKER_PASSWORD.
    """
    settings = edge.settings
    wish = Wish(ssid, broker, settings.prefix or None, broker_user, board_tls)
    adopt(Adoption(wish=wish, **options), settings, Questions.at_terminal(), edge.console)


cli.add_command(boards_command)
cli.add_command(clock_command)
cli.add_command(config_command)
cli.add_command(crash_command)
cli.add_command(log_command)
cli.add_command(modules_command)
cli.add_command(reset_command)
cli.add_command(rollback_command)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code; the `mqboard` script calls this."""
    try:
        with ended_like_ctrl_c():
            cli.main(arguments, prog_name="mqboard", standalone_mode=False)
    except ToolError as error:
        to_stderr(str(error))
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return _INTERRUPTED
    return 0
