"""Defines the command line: `mqboard --prefix esp32/test eval '45+876'`.

Options become Settings, the catalogue finds the command, and `main` is the edge: the one place
where errors are printed (to stderr) and become exit codes. Whatever is imported here, everybody
waits for at every command and at every TAB.

Exit codes: 0 done; 1 the board reported an error; 2 usage; 3 the broker is unreachable or refused
us; 4 the board is silent or offline; 5 the board refused, or what was to be verified is not proven;
130 Ctrl-C, SIGTERM or SIGHUP.
"""

from typing import Any

import click

from mqhost.cli.catalogue import MainGroup
from mqhost.cli.edge import Edge, completing, to_stderr
from mqhost.errors import ToolError
from mqhost.extras import explained
from mqhost.interrupt import ended_like_ctrl_c

_INTERRUPTED = 130


def _show_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    """Print the version: of a checkout what firmware built there now would have, too."""
    if wanted and not context.resilient_parsing:
        from mqhost.build.revision import read_revision  # asks git

        click.echo(f"mqboard {read_revision().version}")
        context.exit()


@click.group(
    cls=MainGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Each of these options can also be set as MQBOARD_SERVER, MQBOARD_PREFIX, … in the "
    'environment, or in mqboard.toml (server = "…"), in this folder, one above it, or '
    "~/.config/mqboard; there brokers, boards and groups can have names, too. Secrets only "
    "there: MQBOARD_PASSWORD, and MQBOARD_AUTH_KEY for boards that have a key.",
)
@click.option(
    "--prefix",
    shell_complete=completing("prefix"),
    help="Topic prefix of the board, as esp32/test; as esp32/+ of many.",
)
@click.option(
    "--to",
    metavar="NAME",
    shell_complete=completing("boards"),
    help="The board with that name in mqboard.toml.",
)
@click.option(
    "--group",
    metavar="NAME",
    shell_complete=completing("groups"),
    help="All boards of that group in mqboard.toml.",
)
@click.option("--id", help="Hardware id of the board, or its beginning, if two have the prefix.")
@click.option(
    "--broker",
    metavar="NAME",
    shell_complete=completing("brokers"),
    help="The broker with that name in mqboard.toml.",
)
@click.option(
    "-s",
    "--server",
    metavar="HOST|URL",
    help="The MQTT broker: HOST, HOST:PORT, or a URL with mqtt, mqtts, ws or wss.  [127.0.0.1]",
)
@click.option("--port", type=int, help="Port of the broker.  [8883 with TLS, 1883 without]")
@click.option("--username", help="User name for the broker.")
@click.option("--tls/--no-tls", default=None, help="TLS or none.  [TLS, except to this machine]")
@click.option(
    "--ca",
    metavar="FILE",
    type=click.Path(),
    help="PEM file of the CA that signed the broker's certificate.",
)
@click.option(
    "--cert", metavar="FILE", type=click.Path(), help="PEM file of the client certificate."
)
@click.option(
    "--key", metavar="FILE", type=click.Path(), help="PEM file of the client certificate's key."
)
@click.option(
    "-T",
    "--timeout",
    type=float,
    help="Seconds to wait for a silent board; if given, for one that is offline, too.  [10]",
)
@click.option(
    "--wait",
    is_flag=True,
    default=None,
    help="Wait for a board that is asleep until it wakes, and keep it awake meanwhile.",
)
@click.option(
    "-v",
    "--verbose",
    is_flag=True,
    envvar="MQBOARD_VERBOSE",
    help="Show on stderr what travels over MQTT; secrets are masked.",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and exit.",
)
@click.pass_context
def cli(context: click.Context, verbose: bool, **options: Any) -> None:
    """Manage MicroPython boards over MQTT."""
    context.obj = Edge(options, verbose)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code; the `mqboard` script calls this."""
    try:
        with ended_like_ctrl_c():
            ended = cli.main(arguments, prog_name="mqboard", standalone_mode=False)
    except ToolError as error:
        to_stderr(str(error))
        return error.exit_code
    except ModuleNotFoundError as error:
        told = explained(error)
        if told is None:
            raise
        to_stderr(str(told))
        return told.exit_code
    except OSError as error:
        from mqhost.files import unusable

        told = unusable(error)
        if told is None:
            raise
        to_stderr(str(told))
        return told.exit_code
    except click.ClickException as error:
        error.show()
        if variable := _variable_of(error):
            to_stderr(f"It is the value of {variable}.")
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return _INTERRUPTED
    return ended if isinstance(ended, int) else 0  # what click.exceptions.Exit was raised with


def _variable_of(error: click.ClickException) -> str:
    """Return the variable that a value comes from which is wrong, "" if it comes from none."""
    if not isinstance(error, click.BadParameter) or not error.ctx or not error.param:
        return ""
    source = error.ctx.get_parameter_source(error.param.name or "")
    found = source is click.core.ParameterSource.ENVIRONMENT
    return str(error.param.envvar) if found else ""
