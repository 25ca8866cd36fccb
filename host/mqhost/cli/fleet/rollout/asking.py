"""Defines what looks at rollouts, and what changes them while somebody drives: `list`, `status`,
`pause`, `resume`, `abort`, `retry-failed` and `forget` of `mqboard fleet rollout`.
"""

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from mqhost.cli.edge import Edge, json_option
from mqhost.cli.fleet.rollout.database import Rollouts, keeping, number_argument
from mqhost.cli.fleet.rollout.plan import images_text, shut_text
from mqhost.cli.fleet.selection import counted
from mqhost.cli.terminal.printing import json_text, say
from mqhost.cli.terminal.tables import Listing, show
from mqhost.errors import UsageError
from mqhost.fleet.rollout import control
from mqhost.fleet.rollout.options import Share, duration
from mqhost.fleet.rollout.overview import Overview, board_record
from mqhost.fleet.rollout.states import (
    ABSENT,
    DROPPED,
    FAILED,
    SENDING,
    SETTLING,
    SKIPPED,
    STATES,
    Board,
    Rollout,
)

if TYPE_CHECKING:
    from mqhost.fleet.store.store import Store

_AGED = "90d"


@click.command("list")
@json_option
@keeping
def list_command(edge: Edge, rollouts: Rollouts, as_json: bool) -> None:
    """List the rollouts in the database, the last one first.

    \b
    Examples:
      mqboard fleet rollout list
      mqboard fleet rollout list --json
    """
    with rollouts.opened() as store:
        found, counts = store.rollouts(), store.counts()
        drivers = {one.id: store.driver(one.id) for one in found}
    if found or as_json:
        show(edge.console, rollouts_listing(found, counts, drivers), as_json)
    else:
        say(edge.console, f"There is no rollout in the database {store.database.where}.")


@click.command("status")
@number_argument
@click.option("--boards", "all_boards", is_flag=True, help="Show each of its boards.")
@json_option
@keeping
def status_command(
    edge: Edge, rollouts: Rollouts, number: int | None, all_boards: bool, as_json: bool
) -> None:
    """Show how a rollout is: its waves, who drives it, who is under way, away, or has failed.

    Without an ID it is the one that is not over, or the last one.

    \b
    Examples:
      mqboard fleet rollout status
      mqboard fleet rollout status 3 --boards
      mqboard fleet rollout status --json
    """
    with rollouts.opened() as store:
        found = control.find(store, number, rollouts.broker, last=True)
        view = Overview.of(*store.read(found.id))
        driver = store.driver(found.id)
        offers = [offer for offer, _ in store.images()]
    if as_json:
        images = [
            {"board": offer.board, "version": offer.version, "image": offer.sha256}
            for offer in offers
            if offer.sha256 in {board.image for board in view.boards}
        ]
        say(edge.console, json_text(view.record() | {"images": images, "driver": driver}))
        return
    for line in images_text(view.boards, offers):
        say(edge.console, line)
    _say_status(edge, rollouts, view, driver)
    shown = view.boards if all_boards else view.in_state(SENDING, SETTLING, ABSENT, FAILED, DROPPED)
    if shown:
        show(edge.console, states_listing(shown))


@click.command("pause")
@number_argument
@keeping
def pause_command(edge: Edge, rollouts: Rollouts, number: int | None) -> None:
    """Pause a rollout: no other board is begun with; what is under way goes on.

    \b
    Examples:
      mqboard fleet rollout pause
      mqboard fleet rollout pause 3
    """
    _change(edge, rollouts, number, control.pause)


@click.command("resume")
@number_argument
@click.option("--max-failed", help="From now on so many may fail, as 3, or 5%.")
@keeping
def resume_command(
    edge: Edge, rollouts: Rollouts, number: int | None, max_failed: str | None
) -> None:
    """Go on with a rollout that was paused, or has stopped since too many boards failed.

    \b
    Examples:
      mqboard fleet rollout resume
      mqboard fleet rollout resume 3 --max-failed 10%
    """
    share = Share.parse(max_failed, "--max-failed") if max_failed else None
    _change(
        edge,
        rollouts,
        number,
        lambda store, found, who: control.resume(store, found, who, share),
    )


@click.command("abort")
@number_argument
@keeping
def abort_command(edge: Edge, rollouts: Rollouts, number: int | None) -> None:
    """Abort a rollout for good: boards that wait are dropped; what is under way goes on.

    \b
    Examples:
      mqboard fleet rollout abort
      mqboard fleet rollout abort 3
    """
    _change(edge, rollouts, number, control.abort)


@click.command("retry-failed")
@number_argument
@keeping
def retry_command(edge: Edge, rollouts: Rollouts, number: int | None) -> None:
    """Give the boards that failed, or were given up, another turn, and go on.

    Also with an image that they have gone back from. Without an ID it is the rollout that is not
    over, or the last one.

    \b
    Examples:
      mqboard fleet rollout retry-failed
      mqboard fleet rollout retry-failed 3
    """
    _change(edge, rollouts, number, control.retry_failed, last=True)


@click.command("forget")
@click.argument("numbers", metavar="[ID]...", type=click.IntRange(1), nargs=-1)
@click.option("--older", metavar="TIME", help=f"All that were started so long ago, as {_AGED}.")
@keeping
def forget_command(
    edge: Edge, rollouts: Rollouts, numbers: tuple[int, ...], older: str | None
) -> None:
    """Remove rollouts that are over from the database, with the images that no other one has.

    What the audit says of them stays.

    \b
    Examples:
      mqboard fleet rollout forget 1 2
      mqboard fleet rollout forget --older 90d
    """
    if not numbers and not older:
        raise UsageError("Forget which? Give the numbers of rollouts that are over, or --older.")
    with rollouts.opened() as store:
        wanted = [
            *dict.fromkeys(numbers),
            *(control.aged(store, duration(older, "--older")) if older else ()),
        ]
        for number in dict.fromkeys(wanted):
            store.forget(number, rollouts.who)
    say(edge.console, f"Forgotten: {', '.join(map(str, dict.fromkeys(wanted))) or 'none'}.")


def rollouts_listing(
    rollouts: list[Rollout], counts: dict[int, dict[str, int]], drivers: dict[int, str | None]
) -> Listing:
    """List rollouts."""
    rows, record = [], []
    for one in rollouts:
        boards = counts.get(one.id, {})
        begun = datetime.fromtimestamp(one.created_at).astimezone()
        facts = ", ".join(f"{boards[state]:,} {state}" for state in STATES if state in boards)
        row = [str(one.id), one.state, f"{begun:%Y-%m-%d %H:%M}", one.created_by, one.broker]
        rows.append([*row, facts, one.reason])
        record.append(
            {
                "id": one.id,
                "state": one.state,
                "reason": one.reason,
                "created_at": begun.isoformat(timespec="seconds"),
                "created_by": one.created_by,
                "broker": one.broker,
                "counts": boards,
                "driver": drivers.get(one.id),
            }
        )
    columns = ("id", "state", "started", "by", "broker", "boards", "reason")
    return Listing(columns, [rows], record, numbers={0}, prose={5, 6}, lean=True)


def waves_listing(view: Overview) -> Listing:
    """List the waves of a rollout."""
    rows = [
        [
            view.rollout.options.wave_name(wave.number),
            f"{wave.ended:,} of {wave.total:,}",
            ", ".join(f"{count:,} {state}" for state, count in wave.counts.items()),
        ]
        for wave in view.waves
    ]
    return Listing(("", "ended", "boards"), [rows], view.record(), prose={2}, lean=True)


def states_listing(boards: Sequence[Board]) -> Listing:
    """List boards of a rollout."""
    rows = [
        [board.prefix, board.type, board.state, _local(board.since), board.reason]
        for board in boards
    ]
    columns = ("prefix", "board", "state", "since", "reason")
    return Listing(columns, [rows], [*map(board_record, boards)], prose={4}, lean=True)


def _local(at: float | None) -> str:
    return "" if at is None else f"{datetime.fromtimestamp(at):%Y-%m-%d %H:%M}"


def _change(
    edge: Edge,
    rollouts: Rollouts,
    number: int | None,
    change: "Callable[[Store, int, str], Rollout]",
    last: bool = False,
) -> None:
    """Change the rollout that is meant, and say how it is now."""
    with rollouts.opened() as store:
        found = control.find(store, number, rollouts.broker, last)
        changed = change(store, found.id, rollouts.who)
        view = Overview.of(*store.read(changed.id))
        driver = store.driver(changed.id)
    _say_status(edge, rollouts, view, driver)


def _say_status(edge: Edge, rollouts: Rollouts, view: Overview, driver: str | None) -> None:
    """Say how a rollout is in some lines."""
    rollout = view.rollout
    why = f": {rollout.reason}" if rollout.reason else ""
    say(edge.console, f"Rollout {rollout.id} at {rollout.broker} is {rollout.state}{why}.")
    if view.waves:
        show(edge.console, waves_listing(view))
    failed, skipped = view.counts.get(FAILED, 0), view.counts.get(SKIPPED, 0)
    text = f"{counted(len(view.boards))}: {failed:,} failed, and {view.may_fail:,} may by now"
    say(edge.console, text + (f"; {skipped:,} skipped." if skipped else "."))
    if shut := shut_text(rollout, time.time()):
        say(edge.console, shut)
    if driver:
        say(edge.console, f"Driven by {driver}.")
    elif control.is_open(rollout, view.counts):
        line = rollouts.line("drive", rollout.id)
        say(edge.console, f"Nobody drives it: {line}")


COMMANDS: tuple[Any, ...] = (
    list_command,
    status_command,
    pause_command,
    resume_command,
    abort_command,
    retry_command,
    forget_command,
)
