"""Plans a rollout: boards, images and options go in; who gets what, and in which wave, comes out.

The first wave are the canaries. The order within is always the same for the same boards: who is
online comes first, every type of board early, and neighbours by name far from each other. Who runs
its image already, and who has none, is skipped, and says so.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mqhost.errors import UsageError
from mqhost.fleet.presence import Presence
from mqhost.fleet.rollout.options import Options
from mqhost.fleet.rollout.states import NOT_BEGUN, SKIPPED, Board, Seen
from mqhost.signing.offer import Offer

RUNS_IT = "runs it already"


@dataclass(frozen=True)
class Plan:
    """The `boards` of a rollout in their order, those that are skipped at the end."""

    boards: tuple[Board, ...]

    @property
    def waves(self) -> list[list[Board]]:
        """The boards of each wave, none of them empty."""
        waves: dict[int, list[Board]] = {}
        for board in self.boards:
            if board.wave != NOT_BEGUN:
                waves.setdefault(board.wave, []).append(board)
        return list(waves.values())

    @property
    def skipped(self) -> list[Board]:
        """The boards to which nothing happens; each has its `reason`."""
        return [board for board in self.boards if board.state == SKIPPED]


def make_plan(boards: Iterable[Presence], offers: Iterable[Offer], options: Options) -> Plan:
    """Plan the rollout of the images that `offers` describe. Raises UsageError when two are for one
    type of board, a board is named twice, or there is none.
    """
    images = by_type(offers)
    if not images:
        raise UsageError("No image is given, so there is nothing to roll out. Name its app.bin.")
    present = sorted(boards, key=lambda board: board.prefix)
    if not present:
        raise UsageError("No board is chosen, so there is nothing to roll out. See mqboard boards.")
    twice = [name for name, count in Counter(one.prefix for one in present).items() if count > 1]
    if twice:
        raise UsageError(f"{twice[0]} is chosen twice: a rollout has each board once.")
    reasons = {board.prefix: _why_skipped(board, images) for board in present}
    order = _ordered([board for board in present if not reasons[board.prefix]])
    waves = _wave_numbers(len(order), options)
    planned = [
        _row(board, place, images, wave)
        for place, (board, wave) in enumerate(zip(order, waves, strict=True))
    ]
    planned += [
        _row(board, place, images, NOT_BEGUN, reasons[board.prefix])
        for place, board in enumerate(
            (board for board in present if reasons[board.prefix]), start=len(planned)
        )
    ]
    return Plan(tuple(planned))


def by_type(offers: Iterable[Offer]) -> dict[str, Offer]:
    """Return the offers by the type of board that each is for; UsageError for two of one type."""
    images: dict[str, Offer] = {}
    for offer in offers:
        other = images.setdefault(offer.board, offer)
        if other.sha256 != offer.sha256:
            raise UsageError(
                f"Two images are for board {offer.board}: {other.version} ({other.sha256[:16]}…) "
                f"and {offer.version} ({offer.sha256[:16]}…). Give one for each type of board."
            )
    return images


def _why_skipped(board: Presence, images: Mapping[str, Offer]) -> str:
    """Return why a board is skipped, "" if it is not."""
    kind = board.fact("board")
    offer = images.get(kind)
    if offer is None:
        return f"no image is for board {kind}" if kind else "it does not say which board it is"
    return RUNS_IT if Seen.of(board.status, 0.0).runs(offer.sha256) else ""


def _ordered(boards: list[Presence]) -> list[Presence]:
    """Return them online first, the types in proportion, otherwise spread by a hash."""
    scattered = sorted(boards, key=lambda board: hashlib.sha256(board.prefix.encode()).digest())
    totals = Counter((board.online, board.fact("board")) for board in scattered)
    seen: Counter[tuple[bool, str]] = Counter()
    keys = {}
    for board in scattered:
        group = (board.online, board.fact("board"))
        keys[board.prefix] = (not board.online, seen[group] / totals[group])
        seen[group] += 1
    return sorted(scattered, key=lambda board: keys[board.prefix])


def _wave_numbers(total: int, options: Options) -> list[int]:
    """Return the wave of each of `total` boards in their order; what waves leave out is the last
    one's.
    """
    numbers: list[int] = []
    wave = 0
    for share in (options.canary, *options.waves):
        end = share.rounded_up(total)
        if end > len(numbers):
            numbers += [wave] * (end - len(numbers))
            wave += 1
    return numbers + [wave] * (total - len(numbers))


def _row(
    board: Presence, place: int, images: Mapping[str, Offer], wave: int, reason: str = ""
) -> Board:
    kind = board.fact("board")
    image = images[kind].sha256 if kind in images else ""
    planned = Board(board.prefix, kind, image, wave, place)
    if not reason:
        return planned
    return Board(board.prefix, kind, image, wave, place, state=SKIPPED, reason=reason)
