"""Shows the main job as it happens: build, boot, talk, change, update, confirm.

On a private broker and a simulated board with a flash of its own, in a temporary folder; nothing is
left behind but the builds. What `invoke demo` runs.
"""

import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from mqhost import packages
from mqhost.build import board as boards
from mqhost.build.build import BuildResult, build
from mqhost.cli.tasks import show
from mqhost.cli.terminal import tables
from mqhost.cli.terminal.printing import say
from mqhost.cli.terminal.tables import Listing
from mqhost.cli.update.report import OtaLines
from mqhost.link.session import Session, Status
from mqhost.link.settings import Settings
from mqhost.paths import BUILD
from mqhost.signing.offer import load_image
from mqhost.sim.broker import Broker
from mqhost.sim.device import Device
from mqhost.sim.filesystem import default_config, provision_flash
from mqhost.update.push import UpdateResult, push

PREFIX = "esp32/demo"
_BOOT_SECONDS = 60.0


def run(console: Console, as_json: bool = False) -> None:
    """Run the demonstration; raises ToolError where a step of it fails."""
    started = time.monotonic()
    story = Console(stderr=True) if as_json else console
    for purpose in ("build", "broker"):
        packages.ensure(purpose, say=lambda line: say(story, line))
    board = boards.find("sim")
    first = _build(story, "Building the firmware of the simulated board.", None)
    table = board.table
    with tempfile.TemporaryDirectory(prefix="mqboard-demo-") as folder, Broker() as broker:
        say(story, f"A broker listens on 127.0.0.1:{broker.port}, for this machine only.")
        flash = Path(folder) / "flash.bin"
        config = default_config(PREFIX, broker.host, broker.port)
        provision_flash(flash, first.flash, table, config)
        settings = Settings(server=broker.host, port=broker.port, tls=False, prefix=PREFIX)
        with Device(flash, table=table, name="demo") as device, Session(settings) as session:
            say(story, "A fresh board gets power and looks for its broker.")
            birth = _wait_birth(session, device)
            slot = birth.get("slot")
            say(story, f"It is there: {birth.get('version')} in slot {slot}.")
            answer = session.request("eval", b"45+876").data.decode()
            say(story, f"mqboard --prefix {PREFIX} eval '45+876' → {answer}")
            second = _build(
                story, "The same firmware with another version.", f"{first.version}.demo"
            )
            result = _update(story, session, second)
    tables.show(console, _listing(first, second, result, str(slot)), as_json)
    say(story, f"Done in {time.monotonic() - started:.0f} s. Nothing is left running.")


def _build(console: Console, why: str, version: str | None) -> BuildResult:
    say(console, why)
    output = BUILD / "demo" if version else None
    with show.progress(console) as progress:
        result = build(boards.find("sim"), version=version, output=output, progress=progress)
    say(console, f"Built {result.version}: {result.image_size:,} B in {result.seconds:.1f} s.")
    return result


def _wait_birth(session: Session, device: Device) -> Status:
    """Return the board's birth message; DeviceTimeout with the console's end if it never comes."""
    device.wait_for(
        lambda _: (session.last_status or {}).get("state") == "online", _BOOT_SECONDS, "its birth"
    )
    return session.last_status or {}


def _update(console: Console, session: Session, image: BuildResult) -> UpdateResult:
    say(console, f"Pushing {image.version} over MQTT into the other slot.")
    with OtaLines(console) as progress:
        result = push(session, *load_image(image.app), progress=progress.show)
    say(console, f"The board came back with {result.new_version} and confirmed it.")
    return result


def _listing(first: BuildResult, second: BuildResult, result: UpdateResult, slot: str) -> Listing:
    """List the two versions of the firmware next to each other, and what the update took."""
    sent = f"{result.bytes_sent:,} B in {result.transfer_seconds:.1f} s"
    rows = (
        ("version", result.old_version, result.new_version),
        ("slot", slot, result.slot),
        ("app image", f"{first.image_size:,} B", f"{second.image_size:,} B"),
        ("build", f"{first.seconds:.1f} s", f"{second.seconds:.1f} s"),
        ("sent", "", sent),
        ("update, confirmed", "", f"{result.seconds:.1f} s"),
    )
    record = asdict(result) | {
        "old_slot": slot,
        "image_sizes": [first.image_size, second.image_size],
        "build_seconds": [first.seconds, second.seconds],
    }
    return Listing(("", "before", "after"), (rows,), record, title="What happened")
