"""Defines `mqboard fleet homeassistant`: boards as devices of Home Assistant."""

from importlib.metadata import version
from pathlib import Path

import click

from mqhost.cli.edge import Edge
from mqhost.cli.fleet.selection import Selection, counted, selecting
from mqhost.cli.terminal.printing import say
from mqhost.cli.update.pushing import image_path
from mqhost.errors import UsageError
from mqhost.fleet.choose import choose
from mqhost.fleet.rollout.plan import by_type
from mqhost.signing.offer import Offer, load_image
from mqhost.update.store import remember


@click.command("homeassistant")
@selecting
@click.option(
    "--image",
    "images",
    multiple=True,
    type=click.Path(path_type=Path),
    help="App image that Install brings to boards of its type, as of mqboard ota; may be repeated, "
    "one for each type of board.  [nothing can be installed]",
)
@click.option("--release-url", metavar="URL", default="", help="Page that tells of the images.")
@click.option(
    "--discovery-prefix",
    metavar="TOPIC",
    default="homeassistant",
    show_default=True,
    help="Where Home Assistant looks for devices.",
)
@click.option(
    "--every",
    type=click.FloatRange(min=1),
    metavar="SECONDS",
    default=300.0,
    show_default=True,
    help="How often each board is asked for its memory, signal and uptime.",
)
@click.option(
    "--parallel",
    type=click.IntRange(1, 256),
    metavar="N",
    default=8,
    show_default=True,
    help="How many boards are updated at a time.",
)
@click.option("--remove", is_flag=True, help="Take the boards out of Home Assistant, and end.")
@click.pass_obj
def homeassistant_command(
    edge: Edge,
    selection: Selection,
    images: tuple[Path, ...],
    release_url: str,
    discovery_prefix: str,
    every: float,
    parallel: int,
    remove: bool,
) -> None:
    """Show the boards that are chosen in Home Assistant, until Ctrl-C.

    Each is a device there, by MQTT discovery: with its signal, memory, uptime and last reset, a
    button that restarts it, and with --image an update. What is pressed there is done from here.
    Boards that come later are shown, too.

    \b
    Examples:
      mqboard fleet homeassistant 'house/#' --image build/esp32/app.bin
      mqboard fleet homeassistant --where 'board==esp32' --every 60
      mqboard fleet homeassistant 'house/shed' --remove
    """
    if release_url and not release_url.startswith(("http://", "https://")):
        raise UsageError(f"{release_url!r:.80} is no page: Home Assistant wants http(s)://…")
    if remove:
        _remove(edge, selection, discovery_prefix)
        return
    from mqhost.fleet.homeassistant.bridge import Bridge

    loaded = _load(images)
    edge = selection.edge(edge)
    bridge = Bridge(
        edge.settings,
        edge.settings.many,
        loaded,
        where=selection.where,
        discovery=discovery_prefix,
        every=every,
        parallel=parallel,
        url=release_url,
        tool=version("mqboard"),
        note=lambda line: say(edge.console, line),
        debug=edge.debug,
    )
    with edge.first_ctrl_c(bridge.stop):
        bridge.run()


def _load(images: tuple[Path, ...]) -> list[tuple[Offer, bytes]]:
    """Return the images; UsageError for two that are for one type of board."""
    loaded = [load_image(image_path(image)) for image in images]
    by_type(offer for offer, _ in loaded)
    for offer, app in loaded:
        remember(app, offer)
    return loaded


def _remove(edge: Edge, selection: Selection, discovery_prefix: str) -> None:
    """Take the boards out of Home Assistant, also those that the broker knows nothing of."""
    from mqhost.fleet.homeassistant.removal import remove

    edge = selection.edge(edge)
    with edge.connection() as connection:
        only = None
        if selection.where:
            only = choose(connection, edge.settings.many, selection.where).keys()
        gone = remove(connection, edge.settings.many, only, discovery_prefix)
    for prefix in gone:
        say(edge.console, f"{prefix} is taken out of Home Assistant.")
    if not gone:
        say(edge.console, "None of these boards was in Home Assistant.")
    elif len(gone) > 1:
        say(edge.console, f"{counted(len(gone))}.")
