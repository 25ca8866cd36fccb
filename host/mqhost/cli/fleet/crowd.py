"""Defines `mqboard crowd`: boards of no substance, for load tests."""

import asyncio
import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mqhost.cli.edge import FILE, Edge, json_option, to_stderr
from mqhost.cli.terminal.printing import json_text, say
from mqhost.errors import UsageError
from mqhost.paths import BOARDS, TASK

if TYPE_CHECKING:
    from mqhost.fleet.crowd.crowd import Crowd, Plan

_EVERY_S = 10.0  # between two lines
_SECONDS = click.FloatRange(min=0)


@click.command("crowd")
@click.option("--boards", type=click.IntRange(1, 100_000), default=100, help="How many.")
@click.option(
    "--prefix",
    "pattern",
    default="crowd/{n}",
    help="Their prefixes; {n} is the number of each, from 1.",
)
@click.option(
    "--type",
    "types",
    multiple=True,
    metavar="BOARD[:MCU]",
    help="What they say they are; several are mixed. Default: esp32.",
)
@click.option(
    "--image",
    "images",
    type=FILE,
    multiple=True,
    help="An app.bin that they run at first: updates come as differences to it.",
)
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    default=100.0,
    help="How many connect in a second.",
)
@click.option(
    "--fail",
    "fails",
    multiple=True,
    metavar="[KIND=]SHARE",
    help="How many fail, as 2% or 3: by refuse, silent, rollback, power or offline, or by all in "
    "turn.",
)
@click.option(
    "--old",
    default="0",
    metavar="SHARE",
    help="How many, as 20% or 3, have older firmware, which knows no broadcasts (protocol 2).",
)
@click.option(
    "--signed", is_flag=True, help="They take only what a key of this machine has signed."
)
@click.option("--restart", type=_SECONDS, default=2.0, help="Seconds that a restart takes a board.")
@click.option(
    "--health", type=_SECONDS, default=1.0, help="Seconds until a boot is healthy, and confirmed."
)
@click.option("--block-ms", type=_SECONDS, default=0.0, help="What writing a block takes.")
@click.option("--away", type=_SECONDS, default=30.0, help="Seconds of those that go offline.")
@click.option(
    "--keepalive", type=click.IntRange(2, 65535), default=60, help="Seconds; that of boards is 60."
)
@click.option("--seed", type=int, default=0, help="Another one: others of them fail.")
@click.option(
    "--seconds", type=click.FloatRange(min=0, min_open=True), help="End by itself after so many."
)
@click.option("--keep", is_flag=True, help="Leave their statuses with the broker at the end.")
@json_option
@click.pass_obj
def crowd_command(edge: Edge, **options: Any) -> None:
    """Play many boards, to see what a broker and a fleet's tools stand; Ctrl-C ends it.

    They speak the wire protocol over real MQTT, each over a connection of its own: status, info,
    updates with every block checked, restarts, confirmation. No code runs on them. In the end their
    statuses are removed, and figures of what they did are printed.

    \b
    Examples:
      mqboard crowd --boards 500
      mqboard crowd --boards 2000 --prefix 'test/{n}' --rate 200 --fail 2% --json
      mqboard crowd --image old/app.bin --fail refuse=3 --fail power=5%
    """
    from mqhost.fleet.crowd.crowd import Crowd, allow_files, check_room, clear
    from mqhost.signing.keys import known_keys

    plan = _plan(options)
    keys = tuple(known_keys()) if options["signed"] else ()
    if options["signed"] and not keys:
        raise UsageError(f"--signed: this machine knows no key. {TASK} keys makes one.")
    times = {f"{name}_s": options[name] for name in ("restart", "health", "away")}
    block_s = options["block_ms"] / 1000
    crowd = Crowd(
        edge.settings, plan, keys=keys, keepalive=options["keepalive"], block_s=block_s, **times
    )
    allow_files(plan.boards)
    with edge.connection() as connection:
        check_room(connection, plan)
        try:
            record = asyncio.run(_run(crowd, options["seconds"] or 0.0))
            said = json_text(record) if options["as_json"] else _told(record)
            say(edge.console, said)
        finally:
            if not options["keep"]:
                clear(connection, plan)


async def _run(crowd: "Crowd", seconds: float) -> dict[str, Any]:
    stop = asyncio.Event()
    with _ended_by_signals(stop):
        return await crowd.run(stop, _tell, _EVERY_S, seconds)


@contextlib.contextmanager
def _ended_by_signals(stop: asyncio.Event) -> Iterator[None]:
    """Have the first Ctrl-C or SIGTERM set `stop`; the next one is as ever."""
    loop = asyncio.get_running_loop()
    caught = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, before in caught.items():
            loop.remove_signal_handler(number)
            signal.signal(number, before)

    def end() -> None:
        stop.set()
        restore()

    for number in caught:
        loop.add_signal_handler(number, end)
    try:
        yield
    finally:
        restore()


def _plan(options: dict[str, Any]) -> "Plan":
    from mqhost.fleet.crowd.board import Kind
    from mqhost.fleet.crowd.crowd import Plan
    from mqhost.fleet.crowd.decode import made_up
    from mqhost.fleet.crowd.faults import Rates
    from mqhost.fleet.rollout.options import Share

    kinds = [_kind_of(path) for path in options["images"]]
    types = options["types"] or (() if kinds else ("esp32",))
    for text in types:
        board, _, mcu = text.partition(":")
        if not board:
            raise UsageError(
                f"--type {text!r:.40} is no type of board, as esp32 or my-board:esp32."
            )
        kinds.append(Kind(board, mcu or _mcu_of(board), made_up(board)))
    return Plan(
        options["boards"],
        options["pattern"],
        tuple(kinds),
        Rates.parse(options["fails"]),
        options["rate"],
        options["seed"],
        Share.parse(options["old"], "--old"),
    )


def _mcu_of(board: str) -> str:
    """Return the chip of a board that is defined here; others are called as their chips."""
    from mqhost.build.board import Board

    files = {file.parent.name: file for file in BOARDS.glob("*/board.toml")}
    return Board.load(files[board].parent).mcu if board in files else board


def _kind_of(path: Path) -> Any:
    from mqhost.fleet.crowd.board import Kind
    from mqhost.fleet.crowd.decode import Image
    from mqhost.signing.offer import load_image

    offer, app = load_image(path)
    return Kind(offer.board, offer.mcu, Image(offer.sha256, offer.version, offer.seq, app))


def _tell(crowd: "Crowd") -> None:
    record = crowd.record()
    text = f"{record['online']:,} of {record['boards']:,} boards are online"
    names = {"confirmed": "updates confirmed", "refused": "refused", "rolled_back": "rolled back"}
    text += "".join(f", {record[key]:,} {what}" for key, what in names.items() if record[key])
    if record["online"] < record["boards"] and record["last_trouble"]:
        text += f"; the last trouble: {record['last_trouble']:.100}"
    to_stderr(f"{text}. Ctrl-C ends this.")


def _told(record: dict[str, Any]) -> str:
    """Return the last lines, for people."""
    number = {key: f"{value:,}" for key, value in record.items() if isinstance(value, int)}
    return (
        f"{number['boards']} boards in {record['seconds']:.0f} s: {number['connections']} "
        f"connections, {number['lost']} lost, {number['commands']} commands.\n"
        f"Updates: {number['offers']} offers, {number['installed']} installed, "
        f"{number['confirmed']} confirmed, {number['refused']} refused, "
        f"{number['rolled_back']} rolled back.\n"
        f"Messages: {number['messages_in']} in, {number['messages_out']} out; bytes: "
        f"{number['bytes_in']} in, {number['bytes_out']} out.\n"
        f"This took {record['cpu_s']:.1f} s of CPU and {record['rss_bytes'] / 1e6:,.0f} MB."
    )
