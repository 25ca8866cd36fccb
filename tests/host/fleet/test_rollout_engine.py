"""Tests what is decided in a rollout, one rule a test: who is sent to, who waits, when it stops."""

from dataclasses import replace
from datetime import UTC

import pytest
from rolloutparts import options, picture

from mqhost.errors import AbsentBoardError, BrokerError, RefusedError, SilentBoardError, UsageError
from mqhost.fleet.rollout.engine import (
    abort,
    allowed,
    decide,
    over,
    pause,
    resume,
    retry_failed,
)
from mqhost.fleet.rollout.look import ATTEMPTS, PAUSE, look, moved, pushed
from mqhost.fleet.rollout.options import Share
from mqhost.fleet.rollout.outcome import CONFIRMED, Outcome, of_error
from mqhost.fleet.rollout.states import (
    ABORTED,
    ABSENT,
    DONE,
    DROPPED,
    FAILED,
    FINISHED,
    PAUSED,
    RUNNING,
    SENDING,
    SETTLING,
    STOPPED,
    WAITING,
    Board,
    Rollout,
    Seen,
)
from mqhost.update.failures import coded
from mqwire import update as wire

NOW = 1_800_000_000.0
NEW, OLD = picture()[0].sha256, "old"
DAY = 86400.0


def board(name, state=WAITING, wave=0, **facts):
    facts = {"place": int(name), "turn_at": NOW, "since": NOW} | facts
    return Board(name, "sim", NEW, wave, state=state, **facts)


def rollout(state=RUNNING, wave=0, **wish):
    return Rollout(7, "b", options(**wish), state=state, wave=wave)


def seen(image=OLD, online=True, confirmed=True, healthy=True, boot="1", at=NOW):
    return Seen(online, image, confirmed, healthy, boot, "1.0", at)


def step(the_rollout, boards, sights=None, now=NOW, **options):
    """Decide, and return the rollout and the boards by name as they are then, and the decision."""
    sights = {one.prefix: seen() for one in boards} if sights is None else sights
    decision = decide(the_rollout, boards, sights, now, zone=UTC, **options)
    after = {one.prefix: one for one in boards}
    after |= {one.prefix: one for one in decision.boards}
    return decision.rollout, after, decision


def states(boards):
    return [boards[name].state for name in sorted(boards, key=int)]


# Whose turn it is


def test_canaries_have_their_turn_first():
    boards = [board("0", turn_at=None), board("1", wave=1, turn_at=None)]
    begun, after, decision = step(rollout(wave=-1), boards)
    assert begun.wave == 0 and decision.wake == NOW and not decision.send
    assert (after["0"].turn_at, after["1"].turn_at) == (NOW, None)
    _, after, decision = step(begun, after.values())
    assert states(after) == [SENDING, WAITING] and [one.prefix for one in decision.send] == ["0"]


def test_so_many_are_sent_to_at_a_time_in_their_order():
    boards = [board(str(number)) for number in (5, 3, 1, 0)] + [board("9", SENDING)]
    _, after, _ = step(rollout(parallel="3"), boards)
    assert states(after) == [SENDING, SENDING, WAITING, WAITING, SENDING]


@pytest.mark.parametrize("state", [WAITING, ABSENT, SENDING, SETTLING])
def test_a_wave_waits_for_every_board_of_the_one_before(state):
    boards = [board("0", DONE), board("1", state), board("2", wave=1)]
    sights = {"1": seen(online=False)}
    now_, _, _ = step(rollout(settle="5m"), boards, sights)
    assert (now_.wave, now_.state) == (0, RUNNING)


@pytest.mark.parametrize("state", [DONE, FAILED, DROPPED])
def test_a_wave_begins_when_those_before_have_ended(state):
    boards = [board("0", state), board("1", wave=1, turn_at=None)]
    now_, after, _ = step(rollout(max_failed="100%"), boards)
    assert now_.wave == 1 and after["1"].turn_at == NOW


def test_it_is_finished_when_all_have_ended():
    now_, _, _ = step(rollout(), [board("0", DONE), board("1", DROPPED)])
    assert now_.state == FINISHED and over(now_, [])


# Who is absent


def test_who_is_offline_is_absent_and_is_sent_to_when_online():
    boards = [board("0"), board("1")]
    _, after, decision = step(rollout(), boards, {"0": seen(online=False)})
    assert states(after) == [ABSENT, ABSENT] and decision.wake == NOW + 7 * DAY
    _, after, _ = step(rollout(), after.values(), {"0": seen()}, NOW + 6 * DAY)
    assert states(after) == [SENDING, ABSENT]


def test_who_is_absent_too_long_is_dropped_but_not_in_a_pause():
    boards = [board("0", ABSENT)]
    _, after, _ = step(rollout(), boards, {}, NOW + 7 * DAY - 1)
    assert states(after) == [ABSENT]
    _, after, decision = step(rollout(PAUSED), boards, {}, NOW + 8 * DAY)
    assert states(after) == [ABSENT] and decision.wake is None
    _, after, _ = step(rollout(), boards, {}, NOW + 7 * DAY)
    assert (after["0"].state, after["0"].reason) == (DROPPED, "absent for 7d")


def test_without_the_broker_nothing_is_decided_by_what_was_seen():
    boards = [board("0"), board("1", ABSENT), board("2", SETTLING, steady_since=NOW - DAY)]
    _, after, decision = step(rollout(), boards, now=NOW + 9 * DAY, connected=False)
    assert list(after.values()) == boards and not decision.send


# When


def test_outside_of_its_window_nothing_is_sent_and_what_is_under_way_goes_on():
    shut, open_ = NOW, NOW + 18.5 * 3600  # 08:00 and 02:30 UTC
    boards = [board("0"), board("1", SETTLING)]
    sights = {"0": seen(), "1": seen(NEW)}
    limited = rollout(window="02:00-05:00")
    _, after, decision = step(limited, boards, sights, shut)
    assert states(after) == [WAITING, DONE] and decision.wake == NOW + 18 * 3600
    _, after, _ = step(limited, boards, sights, open_)
    assert states(after) == [SENDING, DONE]


# What becomes of a push


def test_a_confirmed_board_has_to_stay_so():
    wish = rollout(settle="5m")
    settling = pushed(board("0", SENDING), CONFIRMED, True, NOW, wish.options)
    assert settling.state == SETTLING
    _, after, decision = step(wish, [settling], {"0": seen(NEW)})
    assert states(after) == [SETTLING] and decision.wake == NOW + 300
    _, later, _ = step(wish, after.values(), {"0": seen(NEW)}, NOW + 299)
    assert states(later) == [SETTLING]
    _, later, _ = step(wish, after.values(), {"0": seen(NEW)}, NOW + 300)
    assert states(later) == [DONE]


@pytest.mark.parametrize(
    "trouble", [seen(NEW, boot="2"), seen(NEW, online=False), seen(NEW, confirmed=False)]
)
def test_what_restarts_or_goes_has_to_stay_well_from_then_on(trouble):
    wish = options(settle="5m")
    first = look(board("0", SETTLING), seen(NEW), NOW, wish)
    shaken = look(first, trouble, NOW + 200, wish)
    well = replace(trouble, online=True, confirmed=True)
    well_again = look(shaken, well, NOW + 210, wish)
    assert look(well_again, well, NOW + 499, wish).state == SETTLING
    assert look(well_again, well, NOW + 511, wish).state == DONE


def test_who_sleeps_settles_in_its_sleep():
    wish = options(settle="5m")
    asleep = replace(seen(NEW, online=False), asleep=True, sleeper=True)
    sleeping = look(board("0", SETTLING), asleep, NOW, wish)
    assert sleeping.steady_since == NOW
    # Each wake is another boot; one that is no wake begins anew.
    woken = replace(asleep, boot_id="2")
    assert look(sleeping, woken, NOW + 301, wish).state == DONE
    crashed = look(sleeping, replace(woken, sleeper=False), NOW + 200, wish)
    assert crashed.steady_since == NOW + 200


@pytest.mark.parametrize(
    ("sight", "words"),
    [
        (seen(OLD, at=NOW + 1), "went back after it had confirmed the image: it runs 1.0"),
        (seen(NEW, healthy=False), "runs the image, but not in normal mode"),
    ],
)
def test_who_goes_back_or_is_not_well_has_failed(sight, words):
    failed = look(board("0", SETTLING), sight, NOW + 2, options(settle="5m"))
    assert (failed.state, failed.reason) == (FAILED, words)


def test_what_was_heard_before_the_board_confirmed_tells_nothing():
    still = look(board("0", SETTLING), seen(OLD, at=NOW - 1), NOW + 2, options(settle="5m"))
    assert still.state == SETTLING and still.steady_since is None


def test_who_confirms_and_vanishes_has_failed_in_the_end():
    gone = look(board("0", SETTLING), None, NOW + 7 * DAY, options(settle="5m"))
    assert gone.state == FAILED and "it has not settled within 7d" in gone.reason


def test_who_runs_the_image_is_sent_nothing():
    _, after, decision = step(rollout(settle="5m"), [board("0"), board("1")], {"0": seen(NEW)})
    assert states(after) == [SETTLING, ABSENT] and not decision.send


def test_who_has_not_confirmed_the_image_yet_is_pushed_to():
    _, after, _ = step(rollout(), [board("0")], {"0": seen(NEW, confirmed=False)})
    assert states(after) == [SENDING]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (RefusedError("no"), (False, False)),
        (UsageError("wrong"), (False, False)),
        (coded(RefusedError("tried before"), wire.FAILED_BEFORE), (False, False)),
        (coded(RefusedError("busy"), wire.BUSY), (True, True)),
        (coded(RefusedError("on trial"), wire.UNCONFIRMED), (True, True)),
        (coded(RefusedError("power"), wire.POWER_LOST), (True, True)),
        (SilentBoardError("silent"), (True, True)),
        (BrokerError("gone"), (True, False)),
    ],
)
def test_what_a_board_cannot_help_is_tried_again(error, outcome):
    found = of_error(error)
    assert (found.passing, found.counted) == outcome
    assert found.reason == str(error) and not found.confirmed


SILENT = Outcome(reason="silent", passing=True, counted=True)


def test_a_silent_board_is_tried_again_later_and_later_and_then_has_failed():
    row, now, pauses = board("0", SENDING), NOW, []
    while row.state != FAILED:
        row = pushed(row, SILENT, True, now, options())
        if row.state == WAITING:
            _, early, decision = step(rollout(), [row], now=now)
            assert states(early) == [WAITING] and decision.wake == row.not_before
            pauses.append(row.not_before - now)
            now = row.not_before
            _, after, _ = step(rollout(), [row], now=now)
            row = after["0"]
            assert row.state == SENDING
    assert pauses == [PAUSE * 2**number for number in range(ATTEMPTS - 1)]
    assert row.reason == f"silent That was attempt {ATTEMPTS}."


def test_of_an_absent_board_the_fact_is_told_and_no_option_of_other_commands():
    error = AbsentBoardError("It is away. With --timeout 60 it is waited for.", "It is away.")
    assert of_error(error).reason == "It is away."


@pytest.mark.parametrize(
    ("outcome", "online"), [(SILENT, False), (replace(SILENT, counted=False), True)]
)
def test_who_went_offline_and_who_has_no_broker_is_not_counted(outcome, online):
    row = pushed(board("0", SENDING), outcome, online, NOW, options())
    assert (row.state, row.attempts, row.reason) == (WAITING, 0, "silent")
    _, after, _ = step(rollout(), [row], {"0": seen(online=online)}, NOW + 1)
    assert states(after) == [WAITING if online else ABSENT]


def test_not_even_that_goes_on_for_ever():
    lost = Outcome(reason="the broker refuses it", passing=True)
    row = pushed(board("0", SENDING), lost, True, NOW + 7 * DAY, options())
    assert (row.state, row.reason) == (FAILED, "the broker refuses it")


# When it stops


def test_it_stops_when_more_have_failed_than_may():
    failed = [board(str(number), FAILED) for number in range(3)]
    others = [board(str(number)) for number in range(3, 100)]
    limited = rollout(max_failed="2%")
    assert allowed(limited, failed + others) == 2
    now_, after, decision = step(limited, failed + others)
    assert now_.state == STOPPED and not decision.send
    assert now_.reason == "3 had failed by then, and 2 might (--max-failed 2%)"
    now_, _, decision = step(limited, [board("0", DONE)] + failed[1:] + others)
    assert now_.state == RUNNING and decision.send


def test_the_share_is_of_the_boards_whose_turn_has_come():
    boards = [board(str(number), wave=number // 10) for number in range(100)]
    boards[0] = board("0", DROPPED)
    assert allowed(rollout(max_failed="10%", wave=0), boards) == 0
    assert allowed(rollout(max_failed="10%", wave=1), boards) == 1
    assert allowed(rollout(max_failed="3", wave=0), boards) == 3


def test_what_is_under_way_goes_on_when_it_stops():
    boards = [board("0", FAILED), board("1", SENDING), board("2", SETTLING)]
    sights = {"1": seen(NEW), "2": seen(NEW)}
    now_, after, _ = step(rollout(), boards, sights)
    assert (now_.state, states(after)) == (STOPPED, [FAILED, SENDING, DONE])


# What people ask for


def test_a_paused_rollout_sends_nothing_until_it_is_resumed():
    paused = pause(rollout(), "ben")
    now_, after, decision = step(paused, [board("0"), board("1", DONE)])
    assert now_ == paused and states(after) == [WAITING, DONE] and not decision.send
    resumed, boards = resume(now_, [board("0", ABSENT)], NOW + 9 * DAY)
    assert resumed.state == RUNNING and boards[0].turn_at == NOW + 9 * DAY


def test_resume_that_would_stop_at_once_says_so():
    boards = [board("0", FAILED), board("1"), board("2")]
    stopped, _, _ = step(rollout(), boards)
    with pytest.raises(UsageError, match="would stop at once: 1 failed, and 0 may"):
        resume(stopped, boards, NOW)
    resumed, _ = resume(stopped, boards, NOW, Share.parse("1", "--max-failed"))
    assert step(resumed, boards)[0].state == RUNNING


def test_an_aborted_rollout_drops_who_waits_and_is_over_when_all_has_ended():
    aborted = abort(rollout(), "ben")
    boards = [board("0"), board("1", ABSENT), board("2", SENDING), board("3", wave=1)]
    now_, after, decision = step(aborted, boards)
    assert states(after) == [DROPPED, DROPPED, SENDING, DROPPED] and not decision.send
    assert after["3"].reason == "aborted by ben" and not over(now_, after.values())
    ended = pushed(after["2"], CONFIRMED, True, NOW, now_.options)
    now_, after, _ = step(now_, [*(after[name] for name in "013"), ended], {"2": seen(NEW)})
    assert after["2"].state == DONE and over(now_, after.values()) and now_.state == ABORTED


def test_an_aborted_rollout_does_not_wait_for_who_confirmed_and_vanished():
    aborted = abort(rollout(settle="5m"), "ben")
    boards = [board("0", SETTLING, steady_since=NOW - 9), board("1", SETTLING)]
    sights = {"0": seen(NEW, online=False), "1": seen(NEW)}
    _, after, _ = step(aborted, boards, sights)
    assert states(after) == [DROPPED, SETTLING]


def test_retry_takes_those_that_failed_or_were_given_up():
    boards = [board("0", FAILED, attempts=3), board("1", DROPPED), board("2", DONE)]
    boards = [replace(one, turn_at=NOW - 9 * DAY) for one in boards]
    again, retried = retry_failed(rollout(FINISHED), boards, NOW)
    assert again.state == RUNNING and [one.state for one in retried] == [WAITING, WAITING, DONE]
    assert [one.again for one in retried] == [True, False, False]
    assert retried[0].attempts == 0 and {one.turn_at for one in retried[:2]} == {NOW}
    _, after, _ = step(again, retried, {"0": seen(), "1": seen(online=False), "2": seen(NEW)})
    assert states(after) == [SENDING, ABSENT, DONE]


def test_nothing_is_asked_of_what_is_over():
    for state in (FINISHED, ABORTED):
        for ask in (pause, abort):
            with pytest.raises(UsageError, match=f"Rollout 7 is {state}"):
                ask(rollout(state), "ben")
        with pytest.raises(UsageError, match=f"Rollout 7 is {state}"):
            resume(rollout(state), [], NOW)
    with pytest.raises(UsageError, match="was aborted"):
        retry_failed(rollout(ABORTED), [board("0", FAILED)], NOW)
    with pytest.raises(UsageError, match="nothing to retry"):
        retry_failed(rollout(FINISHED), [board("0", DONE)], NOW)


# Statuses


def test_a_status_is_taken_for_what_it_says():
    status = {"state": "online", "image": NEW, "slot_state": "valid", "mode": "normal"}
    good = Seen.of(status | {"boot_id": "b", "version": "2.0"}, NOW)
    assert good == Seen(True, NEW, True, True, "b", "2.0", NOW) and good.runs(NEW)
    assert not Seen.of(status | {"slot_state": "pending"}, NOW).runs(NEW)
    assert not Seen.of(status | {"mode": "safe"}, NOW).healthy
    assert not Seen.of({"state": "offline"}, NOW).online


@pytest.mark.parametrize("value", [None, 5, [], {"a": []}, "x\x1b[2J", True])
def test_no_status_is_too_odd(value):
    keys = ("state", "image", "slot_state", "mode", "boot_id", "version")
    odd = Seen.of(dict.fromkeys(keys, value), NOW)
    assert not odd.online and not odd.runs(NEW) and not odd.healthy


def test_a_moved_board_keeps_what_is_counted():
    row = moved(board("0", attempts=2, again=True), DONE, NOW + 1, "why")
    assert (row.attempts, row.again, row.since, row.reason) == (2, True, NOW + 1, "why")
