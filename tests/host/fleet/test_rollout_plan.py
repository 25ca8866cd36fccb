"""Tests the plan of a rollout: each board once, in waves that grow, or skipped with a reason."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as some
from rolloutparts import fleet, options, picture, presence

from mqhost.errors import UsageError
from mqhost.fleet.rollout.options import Share
from mqhost.fleet.rollout.plan import RUNS_IT, make_plan
from mqhost.fleet.rollout.states import SKIPPED, WAITING

SIM, S3 = picture("sim"), picture("s3")
IMAGES = [SIM[0], S3[0]]

boards = some.lists(
    some.builds(
        presence,
        some.integers(0, 10_000).map(lambda number: f"x/{number}"),
        board=some.sampled_from(["sim", "s3", "c6"]),
        online=some.booleans(),
        image=some.sampled_from(["old", SIM[0].sha256]),
        slot_state=some.sampled_from(["valid", "pending"]),
    ),
    min_size=1,
    max_size=60,
    unique_by=lambda board: board.prefix,
)
shares = some.one_of(
    some.integers(0, 70).map(str), some.integers(0, 100).map(lambda number: f"{number}%")
)


@given(boards, shares, some.sampled_from(["100%", "3", "10,50%,100%", "20%,40%,60%"]))
def test_every_board_is_planned_once_in_waves_as_large_as_they_were_wished(present, canary, wave):
    wish = options(canary=canary, wave=wave)
    plan = make_plan(present, IMAGES, wish)
    assert sorted(board.prefix for board in plan.boards) == sorted(one.prefix for one in present)
    assert [board.place for board in plan.boards] == list(range(len(plan.boards)))
    planned = [board for wave in plan.waves for board in wave]
    assert all(board.state == WAITING and board.image for board in planned)
    assert {board.prefix for board in planned}.isdisjoint(one.prefix for one in plan.skipped)
    assert len(planned) + len(plan.skipped) == len(present)
    total, ends, done = len(planned), [], 0
    for number, one in enumerate(plan.waves):
        assert one and all(board.wave == number for board in one)
        done += len(one)
        ends.append(done)
    wanted = {share.rounded_up(total) for share in (wish.canary, *wish.waves)}
    assert set(ends[:-1]) <= wanted and ends[-1:] in ([total], [])
    first = wish.canary.rounded_up(total)
    if first:
        assert len(plan.waves[0]) == first


@given(boards, some.randoms())
def test_the_same_boards_have_the_same_plan(present, random):
    shuffled = list(present)
    random.shuffle(shuffled)
    assert make_plan(shuffled, IMAGES[::-1], options()) == make_plan(present, IMAGES, options())


def test_who_runs_its_image_and_who_has_none_is_skipped_with_the_reason():
    present = [
        presence("a", image=SIM[0].sha256),
        presence("b", image=SIM[0].sha256, slot_state="pending"),
        presence("c", board="c6"),
        presence("d", board=None),
    ]
    plan = make_plan(present, IMAGES, options())
    assert [board.prefix for wave in plan.waves for board in wave] == ["b"]
    assert {board.prefix: board.reason for board in plan.skipped} == {
        "a": RUNS_IT,
        "c": "no image is for board c6",
        "d": "it does not say which board it is",
    }
    assert {board.state for board in plan.skipped} == {SKIPPED}


def test_canaries_are_online_of_every_type_and_of_many_places():
    present = fleet(90) + [presence(f"rare/{number}", board="s3") for number in range(3)]
    present += [presence(f"absent/{number}", online=False) for number in range(40)]
    plan = make_plan(present, IMAGES, options(canary="12"))
    canaries = plan.waves[0]
    assert Counter(board.type for board in canaries).keys() == {"sim", "s3"}
    assert len({board.prefix.partition("/")[0] for board in canaries}) == 4
    assert not any(board.prefix.startswith("absent") for board in canaries)
    ends = [board.prefix.startswith("absent") for board in plan.boards]
    assert ends == sorted(ends)


def test_small_fleets_have_at_least_one_canary():
    plan = make_plan(fleet(3), IMAGES, options(canary="5%", wave="10,50%,100%"))
    assert [len(wave) for wave in plan.waves] == [1, 2]
    assert Share.parse("2%", "").rounded_down(3) == 0


@pytest.mark.parametrize(
    ("present", "images", "words"),
    [
        ([], IMAGES, "No board is chosen"),
        ([presence("a"), presence("a")], IMAGES, "a is chosen twice"),
        ([presence("a")], [], "No image is given"),
        ([presence("a")], [SIM[0], picture("sim", b"other")[0]], "Two images are for board sim"),
    ],
)
def test_what_cannot_be_planned(present, images, words):
    with pytest.raises(UsageError, match=words):
        make_plan(present, images, options())
