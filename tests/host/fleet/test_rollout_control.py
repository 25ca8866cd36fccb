"""Tests what people do with rollouts: start, find, change, forget; and how one is counted."""

import pytest
from rolloutparts import fleet, options, picture, presence

from mqhost.errors import UsageError
from mqhost.fleet.rollout import control
from mqhost.fleet.rollout.look import moved
from mqhost.fleet.rollout.options import Share
from mqhost.fleet.rollout.overview import Overview
from mqhost.fleet.rollout.plan import make_plan
from mqhost.fleet.rollout.states import ABORTED, DONE, FAILED, PAUSED, RUNNING, SENDING, WAITING
from mqhost.fleet.store import imagetable
from mqhost.fleet.store.store import Store

IMAGE = picture()
BROKER = "broker:1883"


@pytest.fixture
def store(place):
    with Store(place) as opened:
        yield opened


def start(store, boards=None, broker=BROKER, image=IMAGE, **wish):
    plan = make_plan(boards or fleet(4), [image[0]], options(**wish))
    return control.start(store, plan, [image], options(**wish), broker=broker, who="anna")


def end(store, number, state, reason=""):
    """Have all boards end in `state`."""

    def edit(rollout, boards, now):
        return rollout, [moved(board, state, now, reason) for board in boards]

    store.change(number, "test", "test", edit)


def test_what_has_nothing_to_do_is_no_rollout(store):
    boards = [presence("a", board="esp32"), presence("b", image=IMAGE[0].sha256)]
    with pytest.raises(UsageError, match="no image is for board esp32; runs it already"):
        start(store, boards)
    assert store.rollouts() == []


def test_the_one_that_goes_on_is_meant_where_nobody_says_which(store):
    with pytest.raises(UsageError, match="There is no rollout at the broker"):
        control.find(store, None, BROKER)
    first = start(store, [presence("a")])
    assert control.find(store, None, BROKER).id == first
    with pytest.raises(UsageError, match="no rollout at the broker"):
        control.find(store, None, "another")
    second = start(store, [presence("b")])
    with pytest.raises(UsageError, match=rf"Which .* {second} \(running\), {first} \(running\)"):
        control.find(store, None, BROKER)
    assert control.find(store, first, "another").id == first
    end(store, second, SENDING)
    control.abort(store, second, "ben")
    with pytest.raises(UsageError, match=rf"{second} \(aborted\), {first} \(running\)"):
        control.find(store, None, BROKER)
    end(store, second, DONE)
    assert control.find(store, None, BROKER).id == first
    control.abort(store, first, "ben")
    end(store, first, DONE)
    with pytest.raises(UsageError, match=f"the last is {second}"):
        control.find(store, None, BROKER)
    assert control.find(store, None, BROKER, last=True).id == second


def test_it_is_paused_resumed_aborted_and_the_audit_says_who(store):
    number = start(store)
    assert control.pause(store, number, "ben").state == PAUSED
    assert control.resume(store, number, "cleo", Share.parse("50%", "")).state == RUNNING
    assert str(store.rollout(number).options.max_failed) == "50%"
    assert control.abort(store, number, "dora").state == ABORTED
    assert {board.reason for board in store.read(number)[1]} == {"aborted by dora"}
    with pytest.raises(UsageError, match="is aborted"):
        control.pause(store, number, "ben")
    done = [(entry.who, entry.what) for entry in store.entries(number)]
    assert done == [("anna", "rollout"), ("ben", "pause"), ("cleo", "resume"), ("dora", "abort")]


def test_who_failed_is_tried_again_while_the_image_is_kept(store, monkeypatch):
    number = start(store)
    with pytest.raises(UsageError, match="No board .* has failed"):
        control.retry_failed(store, number, "ben")
    end(store, number, FAILED, "refused")
    assert control.retry_failed(store, number, "ben").state == RUNNING
    assert {board.state for board in store.read(number)[1]} == {WAITING}
    end(store, number, FAILED, "refused")
    with store.database.change() as connection:
        connection.exec_driver_sql("UPDATE rollouts SET state = 'finished'")
        monkeypatch.setattr(imagetable, "LIMIT", 0)
        imagetable.make_room(connection)
    with pytest.raises(UsageError, match="not in the database: make a new rollout"):
        control.retry_failed(store, number, "ben")


def test_a_rollout_that_is_over_is_forgotten_with_its_image(store):
    other = picture(content=b"other")
    first, second = start(store, [presence("a")]), start(store, [presence("b")], image=other)
    with pytest.raises(UsageError, match="is running, and not over. Abort it first"):
        store.forget(first, "ben")
    end(store, first, SENDING)
    control.abort(store, first, "ben")
    with pytest.raises(UsageError, match="is aborted, and not over"):
        store.forget(first, "ben")
    end(store, first, DONE)
    store.forget(first, "ben")
    assert [one.id for one in store.rollouts()] == [second]
    assert store.image(other[0].sha256) == other
    with pytest.raises(UsageError, match="not in the database"):
        store.image(IMAGE[0].sha256)
    assert store.entries(first)[-1].what == "forget"
    control.abort(store, second, "ben")
    store.forget(second, "ben")
    assert start(store) == second + 1  # the audit is of one rollout


def test_images_do_not_pile_up_but_those_that_go_on_are_kept(store, monkeypatch):
    monkeypatch.setattr(imagetable, "LIMIT", 0)
    one, two, three = (picture(content=content) for content in (b"one", b"two", b"three"))
    start(store, [presence("a")], image=one)
    over = start(store, [presence("b")], image=two)
    control.abort(store, over, "ben")
    start(store, [presence("c")], image=three)
    assert store.image(one[0].sha256) == one and store.image(three[0].sha256) == three
    with pytest.raises(UsageError):
        store.image(two[0].sha256)
    control.abort(store, 1, "ben")
    start(store, [presence("a")], image=one)  # it was there, and only one that is over had it
    assert store.image(one[0].sha256) == one


def test_names_of_drivers_are_never_the_same():
    assert control.driver_name() != control.driver_name()
    assert control.person() in control.driver_name()


def test_a_rollout_is_counted_by_waves(store):
    boards = [*fleet(8), presence("other", board="esp32")]
    number = start(store, boards, canary="1", wave="4,100%", max_failed="50%")
    rollout, rows = store.read(number)
    rows = [moved(rows[0], FAILED, 5.0, "refused"), moved(rows[1], SENDING, 6.0), *rows[2:]]
    view = Overview.of(rollout, rows)
    assert [wave.total for wave in view.waves] == [1, 3, 4]
    assert [wave.ended for wave in view.waves] == [1, 0, 0]
    assert view.counts == {"waiting": 6, "sending": 1, "failed": 1, "skipped": 1}
    assert view.under_way == [rows[1]] and view.in_state(FAILED) == [rows[0]]
    record = view.record()
    assert record["counts"] == view.counts and record["waves"][1]["total"] == 3
    told = record["boards"][0]
    assert told["reason"] == "refused" and told["since"] == "1970-01-01T00:00:05+00:00"
    assert "boards" not in view.record(boards=False)
