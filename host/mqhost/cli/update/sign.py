"""Defines `mqboard sign`: the signature of firmware that was built without the private key."""

from pathlib import Path

import click

from mqhost.attest.sign import sign_provenance
from mqhost.cli.edge import FILE, Edge
from mqhost.cli.terminal.printing import say
from mqhost.signing.sign import sign
from mqhost.update.store import remember


@click.command("sign")
@click.argument("image", type=FILE)
@click.pass_obj
def sign_command(edge: Edge, image: Path) -> None:
    """Sign the offer beside IMAGE, an app.bin that was built without the private key.

    The provenance beside it is signed, too, if there is one. The key is MQBOARD_SIGNING_KEY (PEM
    text or a file), or else the development key.

    \b
    Examples:
      mqboard sign build/esp32/app.bin
      MQBOARD_SIGNING_KEY=key.pem mqboard sign build/esp32/app.bin
    """
    offer, app = sign(image)
    sign_provenance(image)
    remember(app, offer)
    say(edge.console, f"Signed {offer.board} {offer.version} with key {offer.key}.")
