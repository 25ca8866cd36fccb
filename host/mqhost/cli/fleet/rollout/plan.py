"""Shows the plan of a rollout before it begins: waves, types of boards, who is skipped and why."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console

from mqhost.cli.fleet.selection import counted
from mqhost.cli.terminal.printing import say
from mqhost.cli.terminal.tables import Listing, show
from mqhost.fleet.many import Boards
from mqhost.fleet.rollout.engine import shut_until
from mqhost.fleet.rollout.options import Options, duration_text
from mqhost.fleet.rollout.plan import Plan
from mqhost.fleet.rollout.states import SKIPPED, Board, Rollout
from mqhost.signing.offer import Offer

if TYPE_CHECKING:
    from mqhost.fleet.rollout.images import Image

_NAMED = 4  # boards of a wave, or of those that are skipped


def show_plan(
    console: Console, plan: Plan, images: "Sequence[Image]", options: Options, boards: Boards
) -> None:
    """Print what would happen."""
    planned = [board for wave in plan.waves for board in wave]
    for line in images_text(planned, [offer for offer, _ in images]):
        say(console, line)
    show(console, plan_listing(plan, options, boards))
    for reason, group in _by_reason(plan.skipped).items():
        say(console, f"Skipped, {reason}: {_names(group)}.")
    away = [board for board in planned if not _online(boards, board)]
    if away:
        wait = duration_text(options.wait)
        say(console, f"Offline now, each waited for {wait} from its turn on: {_names(away)}.")
    most = options.max_failed.rounded_down(len(planned))
    when = f" Only from {options.window}." if options.window else ""
    say(console, f"It stops by itself when more than {most:,} of {len(planned):,} fail.{when}")


def plan_record(plan: Plan, images: "Sequence[Image]", options: Options) -> dict[str, Any]:
    """Return the plan for scripts."""
    return {
        "images": [
            {"board": offer.board, "version": offer.version, "image": offer.sha256}
            for offer, _ in images
        ],
        "options": options.record(),
        "waves": [[board.prefix for board in wave] for wave in plan.waves],
        "skipped": {board.prefix: board.reason for board in plan.skipped},
    }


def images_text(boards: Iterable[Board], offers: Iterable[Offer]) -> list[str]:
    """Say in lines which image is for how many boards of which type; `offers` are those known."""
    known = {offer.sha256: offer.version for offer in offers}
    counts = Counter((board.type, board.image) for board in boards if board.state != SKIPPED)
    return [
        f"{kind} {known.get(image, '(no longer kept)')} ({image[:12]}) for {counted(count)}."
        for (kind, image), count in sorted(counts.items())
    ]


def shut_text(rollout: Rollout, now: float) -> str:
    """Say that the window of `rollout` is not open, and when it is; "" if it is."""
    at = shut_until(rollout, now)
    if at is None:
        return ""
    opens = f"{datetime.fromtimestamp(at):%Y-%m-%d %H:%M}"
    return f"Outside its window, {rollout.options.window}: nothing begins before {opens}."


def plan_listing(plan: Plan, options: Options, boards: Boards) -> Listing:
    """List the waves of a plan."""
    rows = []
    for number, wave in enumerate(plan.waves):
        kinds = Counter(board.type for board in wave)
        types = ", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items()))
        away = sum(not _online(boards, board) for board in wave)
        row = [options.wave_name(number), f"{len(wave):,}", types, f"{away:,}" if away else ""]
        rows.append([*row, _names(wave)])
    columns = ("", "boards", "types", "offline", "which")
    record = [[board.prefix for board in wave] for wave in plan.waves]
    return Listing(columns, [rows], record, numbers={1, 3}, prose={4}, lean=True)


def _online(boards: Boards, board: Board) -> bool:
    known = boards.get(board.prefix)
    return bool(known and known.online)


def _by_reason(boards: Sequence[Board]) -> dict[str, list[Board]]:
    groups: dict[str, list[Board]] = {}
    for board in boards:
        groups.setdefault(board.reason, []).append(board)
    return groups


def _names(boards: Sequence[Board]) -> str:
    """Name the first of `boards`, and say how many more there are."""
    shown = ", ".join(board.prefix for board in boards[:_NAMED])
    more = len(boards) - _NAMED
    return f"{shown} and {more:,} more" if more > 0 else shown
