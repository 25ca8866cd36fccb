"""Defines `mqboard ota`: new firmware over MQTT."""

from pathlib import Path
from typing import Any

import click

from mqhost.cli.edge import Edge
from mqhost.cli.update import pushing
from mqhost.errors import UsageError
from mqhost.fleet.rollout.options import duration
from mqhost.update.push import PATIENCE


class Duration(click.ParamType):
    """Takes a time, as 90s, 5m, 24h or 7d; gives seconds."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        try:
            return value if isinstance(value, float) else duration(value, "--wait")
        except UsageError as error:
            self.fail(str(error), param, ctx)


@click.command("ota")
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
@click.option(
    "--wait",
    type=Duration(),
    metavar="TIME",
    help="If the board is offline, wait for it so long, as 24h, and push when it is there.",
)
@click.pass_obj
def ota_command(
    edge: Edge, board: str | None, image: Path | None, wait: float | None, **options: Any
) -> None:
    """Push new firmware and wait until the board has confirmed it.

    Interrupted or lost, it resumes when it is run again. With --wait a board that is away, or goes
    away, is waited for; nothing of that is left when you stop it.

    \b
    Examples:
      mqboard --prefix esp32/test ota
      mqboard --prefix esp32/test ota --image downloads/app.bin
      mqboard --prefix esp32/test ota --image 8f2a6c01 --retry-failed
      mqboard --prefix esp32/test ota --wait 24h
    """
    options |= {"wait": wait or 0.0, "debug": edge.debug}
    pushing.run_ota(edge.settings, board, image, edge.console, **options)
