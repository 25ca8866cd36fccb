"""Defines `mqboard build`, `clean`, `keys`, `artifact`, `doctor`: firmware, and what it takes.

What they are done with is imported when they run: parts of it are an extra (mqhost.extras).
"""

from pathlib import Path
from typing import Any

import click

from mqhost.cli.edge import FILE, Edge, json_option
from mqhost.cli.terminal.printing import say
from mqhost.cli.terminal.tables import show

_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command("build")
@click.option(
    "--board",
    help="The board to build for, as mqboard boards --definitions lists them.  [that of the "
    "project, or sim]",
)
@click.option("--flash-size", help="Build for a module with more flash, as 16MiB, or less.")
@click.option("--micropython", help="A checkout (v1.25 or newer), or the release, as v1.28.0.")
@click.option(
    "--builder", help="native (this machine's compiler) or docker.  [what suits the board]"
)
@click.option(
    "--base-image", help="What docker's image is made from, instead of the board's toolchain."
)
@click.option("--verbose", is_flag=True, help="Show everything that the compiler says.")
@click.option("--version", help="The firmware's version, instead of the one that git tells.")
@click.option(
    "--sdkconfig",
    type=FILE,
    multiple=True,
    help="A file of ESP-IDF options that replace the board's; may be given repeatedly.",
)
@click.option(
    "--frozen",
    type=_FOLDER,
    multiple=True,
    help="A folder whose Python files are frozen into the firmware; may be given repeatedly.",
)
@click.option("--dry-run", is_flag=True, help="Only show the plan: programs, environment, mounts.")
@json_option
@click.pass_obj
def build_command(
    edge: Edge,
    board: str | None,
    flash_size: str | None,
    frozen: tuple[Path, ...],
    verbose: bool,
    dry_run: bool,
    as_json: bool,
    **wanted: Any,
) -> None:
    """Build a board's firmware into build/<board>/.

    \b
    Examples:
      mqboard build --board sim
      mqboard build --board esp32 --version 1.2.0
      mqboard build --board esp32s3 --flash-size 16MiB
      mqboard build --board esp32 --frozen app
      mqboard build --board esp32 --dry-run
    """
    from mqhost.build import board as boards
    from mqhost.build import build as building
    from mqhost.cli.tasks.show import build_listing, build_progress, plan_text
    from mqhost.project.model import added, chosen_board

    definition = chosen_board(board)
    wanted["own"] = added(frozen)
    if flash_size:
        definition = definition.with_flash(boards.parse_flash_size(flash_size))
    if dry_run:
        say(edge.console, plan_text(building.dry_run(definition, **wanted), as_json=as_json))
        return
    with build_progress(verbose) as heard:
        result = building.build(definition, **wanted, **heard)
    show(edge.console, build_listing(result), as_json)


@click.command("clean")
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Also what is kept between builds: sources, build trees, images, Docker's images.",
)
@click.pass_obj
def clean_command(edge: Edge, everything: bool) -> None:
    """Remove what builds wrote.

    That is build/ of the project; with --all also what all projects of this user share, which the
    next build makes anew: the folder that MQBOARD_CACHE names, or ~/.cache/mqboard.

    \b
    Examples:
      mqboard clean
      mqboard clean --all
    """
    from mqhost.build.cleaning import clean

    for line in clean(everything):
        say(edge.console, line)


@click.command("keys")
@click.option("--next", "make_next", is_flag=True, help="Make the next key.")
@click.option("--rotate", is_flag=True, help="Let it take over.")
@click.option("--public", is_flag=True, help="Print PEM only.")
@json_option
@click.pass_obj
def keys_command(edge: Edge, make_next: bool, rotate: bool, public: bool, as_json: bool) -> None:
    """Show the keys that firmware is signed with; make the first when there is none.

    \b
    Examples:
      mqboard keys
      mqboard keys --next
      mqboard keys --public
    """
    from mqhost.signing.sign import manage_keys

    say(edge.console, manage_keys(make_next, rotate, public, as_json=as_json))


@click.command("artifact")
@click.option(
    "--board", default="esp32", show_default=True, help="The board whose firmware to download."
)
@click.option(
    "--run",
    default="latest",
    show_default=True,
    help="latest (the last good one on the default branch), a run's ID, or a release's tag.",
)
@click.option("--repo", help="The GitHub repository as OWNER/NAME.  [that of the git remote]")
@click.option("--output", type=_FOLDER, help="The folder for the files.  [build/BOARD]")
@click.pass_obj
def artifact_command(
    edge: Edge, board: str, run: str, repo: str | None, output: Path | None
) -> None:
    """Download firmware that CI built, check it, and keep it for ota and flash.

    \b
    Examples:
      mqboard artifact --board esp32
      mqboard artifact --board esp32 --run v1.2.0 --repo OWNER/NAME
    """
    from mqhost.artifacts.artifact import fetch
    from mqhost.cli.tasks.show import progress

    with progress() as report:
        found = fetch(board, run, repo, output, progress=report)
    offer = found.offer
    told = f"{offer.board} {offer.version} ({offer.sha256[:12]}) of {found.origin}: {found.folder}"
    say(edge.console, told)


@click.command("doctor")
@json_option
@click.pass_obj
def doctor_command(edge: Edge, as_json: bool) -> None:
    """Say what this machine has, what is missing, and what each thing is needed for.

    \b
    Examples:
      mqboard doctor
    """
    from mqhost.cli.tasks.doctor import doctor_advice, doctor_listing

    show(edge.console, doctor_listing(), as_json)
    if not as_json:
        say(edge.console, doctor_advice())
