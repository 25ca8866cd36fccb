"""Defines the command that installs packages of MicroPython on a board: install."""

import click

from mqhost.cli.edge import Edge, local_files
from mqhost.cli.files.places import board_path, progress_bar
from mqhost.cli.terminal.printing import clean, json_text, say
from mqhost.mip.fetching import INDEX, Fetcher
from mqhost.mip.install import install, mpy_version
from mqhost.mip.package import Finder, Wish
from mqhost.remote.board_files import BoardFiles


@click.command("install")
@click.argument("packages", nargs=-1, required=True, metavar="NAME[@VERSION]...")
@click.option(
    "--index",
    default=INDEX,
    show_default=True,
    help="A mirror's URL, or a folder here.",
    shell_complete=local_files,
)
@click.option("--target", default=":lib", show_default=True, help="The folder on the board.")
@click.option("--no-mpy", is_flag=True, help="Install .py files, not what is compiled to .mpy.")
@click.option("--json", "as_json", is_flag=True, help="Print what was done as a JSON object.")
@click.pass_obj
def install_command(
    edge: Edge, packages: tuple[str, ...], index: str, target: str, no_mpy: bool, as_json: bool
) -> None:
    """Install packages of micropython-lib on the board, and what they need.

    They come through this machine: the board needs no internet. Besides a NAME of the index it
    can be github:OWNER/NAME[/PATH][@TAG], gitlab:…, or a URL: of a package.json, of the folder that
    it is in, or of one .py or .mpy file. What the board has already is not sent.

    \b
    Examples:
      mqboard --prefix esp32/test install aiohttp
      mqboard --prefix esp32/test install logging@0.6.1 --no-mpy
      mqboard --prefix esp32/test install github:owner/project/driver.py@v1.2
      mqboard --prefix esp32/test install aiohttp --index mirror/
    """
    wishes = [Wish.parse(package) for package in packages]
    with edge.session() as session, Fetcher() as fetcher:
        mpy = 0 if no_mpy else mpy_version(session)
        bundle = Finder(fetcher, index, mpy).find(wishes)
        with progress_bar() as progress:
            done = install(BoardFiles(session), board_path(target), bundle.files, progress=progress)
    if as_json:
        versions = {"versions": bundle.versions}
        told = {"put": done.put, "unchanged": done.unchanged, "removed": done.removed}
        say(edge.console, json_text(versions | told))
        return
    for path in done.removed:
        say(edge.console, f"remove {clean(path)}")
    for path in done.put:
        say(edge.console, f"put    {clean(path)}")
    names = ", ".join(f"{name} {version}".strip() for name, version in bundle.versions.items())
    count = f"{len(done.put):,} put, {len(done.unchanged):,} unchanged"
    say(edge.console, f"{clean(names)}: {count}.")
