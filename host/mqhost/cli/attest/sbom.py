"""Defines `mqboard sbom`: what an image is made of."""

import hashlib
from pathlib import Path
from typing import Any

import click

from mqhost.artifacts.bundle import APP, SBOM
from mqhost.artifacts.opened import Opened, open_evidence
from mqhost.attest.sbom import Part, read_parts
from mqhost.cli.edge import Edge, json_option
from mqhost.cli.terminal.tables import Listing, show
from mqhost.errors import ProofError, UsageError
from mqhost.paths import BUILD, TASK
from mqhost.project.model import chosen_board

_COLUMNS = ("part", "version", "licence", "from", "looked up as")


def sbom_listing(record: dict[str, Any], firmware: Part, parts: list[Part]) -> Listing:
    """List the parts: libraries first, then each module by itself."""
    whole = [part for part in parts if part.kind != "file"]
    files = [part for part in parts if part.kind == "file"]
    sections = ([_row(part) for part in found] for found in ([firmware, *whole], files) if found)
    return Listing(_COLUMNS, list(sections), record, lean=True)


def _row(part: Part) -> tuple[str, ...]:
    return part.name, part.version, part.licence, part.origin, part.purl or part.cpe


@click.command("sbom")
@click.argument("image", type=click.Path(path_type=Path), required=False)
@click.option("--board", help="The board whose last build is meant.  [the project's, or sim]")
@json_option
@click.pass_obj
def sbom_command(edge: Edge, image: Path | None, board: str | None, as_json: bool) -> None:
    """List what firmware is made of: MicroPython, libraries, each module; with licences.

    IMAGE is an app.bin, the folder that it is in, or a bundle's zip file; the list stands beside it
    in sbom.cdx.json, in CycloneDX's format. That it is of the image is checked, who made it is not:
    see mqboard verify.

    \b
    Examples:
      mqboard sbom build/esp32/app.bin
      mqboard sbom --board esp32 --json > sbom.json
    """
    if image and board:
        raise UsageError("Name an IMAGE, as build/esp32/app.bin, or a board, and not both.")
    if image is None:
        board = board or chosen_board().name
        image = BUILD / board
        if not image.exists():
            raise UsageError(
                f"{image} is missing: board {board} is not built. Run {TASK} build --board {board}."
            )
    opened = open_evidence(image)
    show(edge.console, sbom_listing(*of_image(opened)), as_json)


def of_image(opened: Opened) -> tuple[dict[str, Any], Part, list[Part]]:
    """Return what the bill says: whole, the firmware, its parts; ProofError if it is another's."""
    data = opened.files.get(SBOM)
    if data is None:
        raise UsageError(
            f"{opened.where} has no {SBOM}: it is of a build from before there were any, or that "
            f"was not copied along. Build it again ({TASK} build)."
        )
    record, firmware, parts = read_parts(data, f"{opened.where}: {SBOM}")
    app = opened.files.get(APP)
    if app is not None and hashlib.sha256(app).hexdigest() != firmware.sha256:
        raise ProofError(
            f"{opened.where}: {SBOM} is that of another image than {APP}: one of them was changed, "
            "or is of another build."
        )
    return record, firmware, parts
