"""Defines `mqboard fleet homeassistant`: boards as devices of Home Assistant."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import click

from mqhost.build.revision import read_revision
from mqhost.cli.edge import Edge
from mqhost.cli.fleet.selection import Selection, counted, selecting
from mqhost.cli.terminal.printing import say
from mqhost.errors import UsageError
from mqhost.fleet.choose import choose
from mqhost.fleet.rollout.plan import by_type
from mqhost.signing.offer import Offer


@click.command("homeassistant")
@selecting
@click.option(
    "--image",
    "images",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="App image that Install brings to boards of its type, or a folder of several, as for "
    "fleet rollout; may be repeated, one for each type.  [nothing can be installed]",
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
    loaded = _load(images)
    edge = selection.edge(edge)
    from mqhost.fleet.homeassistant.bridge import Bridge

    bridge = Bridge(
        edge.settings,
        edge.settings.many,
        loaded,
        where=selection.where,
        discovery=discovery_prefix,
        every=every,
        parallel=parallel,
        url=release_url,
        tool=read_revision().version,
        note=lambda line: say(edge.console, line),
        debug=edge.debug,
    )
    with edge.first_ctrl_c(bridge.stop):
        bridge.run()


def shown_besides(
    edge: Edge,
    patterns: tuple[str, ...],
    images: tuple[Path, ...],
    audit: Callable[[str, str, str], None],
) -> AbstractContextManager[object]:
    """Return what shows the boards at `patterns` in Home Assistant while its `with` block does
    something else; `audit` is told what was pressed there, and what came of it.
    """
    if not patterns:
        if images:
            raise UsageError("--image is for Install in Home Assistant: --homeassistant, too.")
        return nullcontext()
    from mqhost.fleet.homeassistant.bridge import Bridge

    loaded = _load(images)
    return Bridge(edge.settings, patterns, loaded, tool=read_revision().version, audit=audit)


def _load(images: tuple[Path, ...]) -> list[tuple[Offer, bytes]]:
    """Return the images; UsageError for two that are for one type of board."""
    from mqhost.fleet.rollout.images import find_images

    loaded = find_images(images) if images else []
    by_type(offer for offer, _ in loaded)
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
