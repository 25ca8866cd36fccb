"""Defines the Invoke tasks: each loads, calls and prints; what is done is in host/mqhost.

Those for work on MQBoard itself are in ci/tasks.py.
"""

import functools
import sys
from pathlib import Path

from invoke import task
from rich.console import Console

from ci.tasks import bench, docs, page, screens, screenshots, test  # noqa: F401
from mqhost import packages
from mqhost.artifacts import artifact as artifact_
from mqhost.build import board as boards_
from mqhost.build import build as build_
from mqhost.build import cleaning
from mqhost.cli.tasks import demo as demo_
from mqhost.cli.tasks import flash_commands as usb
from mqhost.cli.tasks import show
from mqhost.cli.tasks.edge import edge
from mqhost.cli.tasks.simulator import run_foreground
from mqhost.cli.tasks.twin import Twin
from mqhost.cli.terminal import printing, tables
from mqhost.link.boardconfig import Wish
from mqhost.link.settings import Settings
from mqhost.signing import sign as signing
from mqhost.sim import broker as broker_
from mqhost.sim.device import HEAP
from mqhost.usb import monitor as monitor_

out = Console(highlight=False, soft_wrap=True)
say = functools.partial(printing.say, out)
MQBOARD_OTA = Twin("ota")
JSON = "print JSON instead of the table"


@task(
    help={
        "board": "the board to build for; invoke boards lists them",
        "flash_size": "build for a module with more flash, as 16MiB, or less",
        "micropython": "a checkout (v1.25 or newer), or the release to build, as v1.28.0",
        "builder": "native (this machine's compiler) or docker; by default what suits the board",
        "base_image": "what docker's image is made from, instead of the board's toolchain",
        "verbose": "show everything that the compiler says",
        "version": "the firmware's version, instead of the one that git tells",
        "sdkconfig": "a file of ESP-IDF options that replace the board's; may be given repeatedly",
        "dry_run": "only show the plan: programs, environment, mounts",
        "json": JSON,
    },
    iterable=["sdkconfig"],
)
@edge
def build(
    _, board="sim", micropython=None, builder=None, base_image=None, verbose=False, version=None,
    sdkconfig=None, dry_run=False, json=False, flash_size=None,
):  # fmt: skip
    """Build a board's firmware into build/<board>/.

    Examples:
      ./invoke build --board sim
      ./invoke build --board esp32 --version 1.2.0
      ./invoke build --board esp32s3 --flash-size 16MiB
      ./invoke build --board esp32 --dry-run
    """
    definition = boards_.find(board)
    if flash_size:
        definition = definition.with_flash(boards_.parse_flash_size(flash_size))
    wanted = {"builder": builder, "base_image": base_image, "version": version}
    wanted |= {"micropython": micropython}
    wanted |= {"sdkconfig": [Path(file) for file in sdkconfig or ()]}
    if dry_run:
        say(show.plan_text(build_.dry_run(definition, **wanted), as_json=json))
        return
    with show.build_progress(verbose) as heard:
        result = build_.build(definition, **wanted, **heard)
    tables.show(out, show.build_listing(result), json)


@task(
    help={
        "next": "make the next key",
        "rotate": "let it take over",
        "public": "print PEM only",
        "json": JSON,
    }
)
@edge
def keys(_, next=False, rotate=False, public=False, json=False):
    """Show the keys that firmware is signed with; make the first when there is none.

    Examples:
      ./invoke keys
      ./invoke keys --next
      ./invoke keys --public
    """
    say(signing.manage_keys(next, rotate, public, as_json=json))


@task(
    help={
        "verify": "check every board: its plan, layout and files, against MicroPython's own",
        "micropython": "for --verify: a MicroPython checkout, instead of the release if cloned",
        "board": "only this board",
        "json": JSON,
    }
)
@edge
def boards(_, verify=False, micropython=None, board=None, json=False):
    """List the boards; or check them, without a compiler.

    Examples:
      ./invoke boards
      ./invoke boards --verify
      ./invoke boards --verify --board esp32s3-16mib --micropython ../micropython
    """
    chosen = [boards_.find(board)] if board else boards_.boards()
    if verify:
        show.verified(out, chosen, micropython, as_json=json)
    else:
        tables.show(out, show.board_listing(chosen), json)


@task(help={"json": JSON})
@edge
def doctor(_, json=False):
    """Say what this machine has, what is missing, and what each thing is needed for.

    Examples:
      ./invoke doctor
    """
    tables.show(out, show.doctor_listing(), json)
    if not json:
        say(show.doctor_advice())


@task(help={"all": "also what is kept between builds: sources, build trees, Docker's images"})
@edge
def clean(_, all=False):
    """Remove what builds wrote.

    Examples:
      ./invoke clean
      ./invoke clean --all
    """
    for line in cleaning.clean(everything=all):
        say(line)


@task(help={"port": "the TCP port to listen on, this machine only; 1883 by default"})
@edge
def broker(_, port=0):
    """Run an MQTT broker in the foreground until Ctrl-C.

    Examples:
      ./invoke broker
      ./invoke broker --port 1884
    """
    packages.ensure("broker", say=say)
    broker_.run_foreground(Settings.resolve({"port": port or None, "tls": False}).port, say=say)


@task(
    help={
        "prefix": "the board's topic prefix, as esp32/test",
        "server": "the broker's address; 127.0.0.1 by default",
        "port": "the broker's port; 1883 by default",
        "flash": "the board's flash file, made when it is not there; by default in build/sim",
        "heap": "MicroPython's heap, as 192k (the default) or 4m",
    }
)
@edge
def sim(_, prefix=None, server=None, port=0, flash=None, heap=HEAP):
    """Run a simulated board in the foreground until Ctrl-C.

    Examples:
      ./invoke sim --prefix esp32/test
      ./invoke sim --prefix esp32/small --heap 128k
    """
    wanted = {"prefix": prefix, "server": server, "port": port or None, "tls": False}
    settings = Settings.resolve(wanted)
    path = Path(flash) if flash else None
    where = settings.need_prefix(), settings.server, settings.port
    run_foreground(*where, flash=path, heap=heap, say=say)


@task(help=MQBOARD_OTA.help)
@edge
@MQBOARD_OTA.options
def ota(_, **options):
    """Push new firmware over MQTT and wait until the board has confirmed it.

    Examples:
      ./invoke ota --prefix esp32/test
      ./invoke ota --prefix esp32/test --image downloads/app.bin
    """
    sys.exit(MQBOARD_OTA.run(options))


@task(
    help={
        "board": "the board whose firmware to download",
        "run": "latest (the last good one on the default branch), a run's ID, or a release's tag",
        "repo": "the GitHub repository as OWNER/NAME; by default that of the git remote",
        "output": "the folder for the files; build/<board> by default",
    }
)
@edge
def artifact(_, board="esp32", run="latest", repo=None, output=None):
    """Download firmware that CI built, check it, and keep it for ota and flash.

    Examples:
      ./invoke artifact --board esp32
      ./invoke artifact --board esp32 --run v1.2.0 --repo OWNER/NAME
    """
    folder = Path(output) if output else None
    with show.progress() as progress:
        found = artifact_.fetch(board, run, repo, folder, progress=progress)
    offer = found.offer
    say(f"{offer.board} {offer.version} ({offer.sha256[:12]}) of {found.origin}: {found.folder}")


@task(help={"json": f"{JSON}; the story goes to stderr"})
@edge
def demo(_, json=False):
    """Show the main job: build, boot a simulated board, talk to it, update it.

    Examples:
      ./invoke demo
    """
    demo_.run(out, as_json=json)


@task(
    help={
        "board": "the board to flash, as built by invoke build",
        "port": "the serial port, or sim:PATH for a simulated board's flash file; by default the "
        "only serial port",
        "erase": "erase everything first, with the files and the configuration on the board",
        "baud": "the speed of the transfer; 460800 by default",
    }
)
@edge
def flash(_, board="esp32", port="", erase=False, baud=0):
    """Write a board's firmware over USB, the first time or after all else failed.

    Examples:
      ./invoke flash --board esp32
      ./invoke flash --board esp32 --port /dev/ttyUSB0 --erase
    """
    usb.run_flash(board, port, out, erase=erase, baud=baud)


@task(
    help={
        "board": "the board's definition: it says where the filesystem is",
        "port": "the serial port, or sim:PATH; by default the only serial port",
        "config": "a configuration file (docs/board.md); the options below change it",
        "ssid": "the Wi-Fi network's name; its password is asked for, or in MQBOARD_WIFI_PASSWORD",
        "server": "the broker as the board reaches it: HOST or HOST:PORT",
        "prefix": "the board's topic prefix, as esp32/test",
        "username": "the board's name at the broker; password asked, or MQBOARD_BROKER_PASSWORD",
        "ca": "PEM file of the CA that signed the broker's certificate",
        "cert": "PEM file of the board's certificate, for brokers that want one",
        "key": "PEM file of its key",
        "psk": "its identity, if it has a pre-shared key: that is asked for, or MQBOARD_BROKER_PSK",
        "no_tls": "the broker speaks no TLS",
        "setup": "it opens a setup network with a password of its own, which is printed",
        "output": "write the image into this file instead of onto a chip",
        "firmware": "write the firmware with it",
        "force": "replace the files that are on the board",
        "baud": "the speed of the transfer; 460800 by default",
    }
)
@edge
def provision(
    _, board="esp32", port="", config="", ssid=None, server=None, prefix=None, username=None, ca="",
    cert="", key="", psk=None, no_tls=False, setup=False, output="", firmware=False, force=False,
    baud=0,
):  # fmt: skip
    """Give a board its configuration over USB: network, broker, prefix.

    Examples:
      ./invoke provision --ssid farm --server broker.lan --prefix farm/pump --ca ca.pem
      ./invoke provision --board esp32 --config board.json --output factory.bin
    """
    usb.run_provision(
        board, port, Wish(ssid, server, prefix, username, False if no_tls else None, psk), out,
        ca=ca, config=config, cert=cert, key=key, output=output, firmware=firmware, force=force,
        baud=baud, setup=setup,
    )  # fmt: skip


@task(help={"port": "the serial port; by default the only one", "baud": "115200 by default"})
@edge
def monitor(_, port="", baud=0):
    """Show a board's console at a serial port until Ctrl-].

    Examples:
      ./invoke monitor
      ./invoke monitor --port /dev/ttyUSB0
    """
    sys.exit(monitor_.monitor(port, baud))
