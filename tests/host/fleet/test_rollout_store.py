"""Tests the database of rollouts, on SQLite and on a real PostgreSQL: what goes in comes out, each
change is whole, and one driver at a time may write.
"""

import sqlite3
import threading
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from rolloutparts import fleet, options, picture, presence
from sqlalchemy import event, update

from mqhost.errors import UsageError
from mqhost.fleet.rollout.engine import abort, pause, resume, retry_failed
from mqhost.fleet.rollout.look import moved
from mqhost.fleet.rollout.plan import make_plan
from mqhost.fleet.rollout.states import (
    ABORTED,
    DONE,
    FAILED,
    PAUSED,
    RUNNING,
    SENDING,
    STATES,
    Board,
)
from mqhost.fleet.store import tables
from mqhost.fleet.store.accounts import Accounts
from mqhost.fleet.store.database import database_url
from mqhost.fleet.store.imagetable import LARGEST
from mqhost.fleet.store.opening import open_store
from mqhost.fleet.store.records import Entry, LeaseLost, StaleError, StoreError
from mqhost.fleet.store.store import Store
from mqhost.fleet.store.underway import UnderWay
from mqhost.signing.offer import Offer

IMAGE = picture()
BROKER = "127.0.0.1:1883"


class Clock:
    now = 1_800_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(place, clock):
    with Store(place, clock) as opened:
        yield opened


def create(store, boards=None, images=(IMAGE,), broker=BROKER, **wish):
    plan = make_plan(boards or fleet(5), [offer for offer, _ in images], options(**wish))
    return store.create(plan, images, options(**wish), broker=broker, who="anna")


def test_a_rollout_comes_out_as_it_went_in(store, clock):
    boards = [*fleet(5), presence("c6", board="c6")]
    plan = make_plan(boards, [IMAGE[0]], options(window="22:00-04:00"))
    number = create(store, boards, window="22:00-04:00")
    rollout, kept = store.read(number)
    assert tuple(kept) == plan.boards
    assert rollout.options == options(window="22:00-04:00")
    assert (rollout.state, rollout.created_by) == (RUNNING, "anna")
    assert rollout.created_at == clock.now
    assert store.rollouts() == store.rollouts(BROKER) == [rollout] and not store.rollouts("other")


def test_it_is_there_for_whoever_opens_the_database_next(place, store):
    number = create(store)
    with Store(place) as other:
        assert other.read(number) == store.read(number)
        assert other.image(IMAGE[0].sha256) == IMAGE


def test_images_are_kept_once_with_the_signature_that_came_last(store):
    offer, app = IMAGE
    first = create(store, [presence("a")])
    create(store, [presence("b")], images=[(offer.signed(b"s" * 384), app)])
    kept, found = store.image(offer.sha256)
    assert (kept.signature, found) == (b"s" * 384, app)
    create(store, [presence("c")])
    assert store.image(offer.sha256)[0].signature == b"s" * 384
    assert first


def test_an_image_that_no_board_gets_is_not_kept(store):
    create(store, images=[IMAGE, picture("c6")])
    with pytest.raises(UsageError, match="is not in the database"):
        store.image(picture("c6")[0].sha256)


def test_an_image_that_is_too_large_is_refused_and_nothing_is_kept(store):
    app = bytes(LARGEST + 1)
    offer = Offer.make(app, board="sim", mcu="esp32", version="2.0", seq=2)
    with pytest.raises(UsageError, match="16,777,217 B"):
        create(store, images=[(offer, app)])
    assert store.rollouts() == []


def test_a_damaged_image_is_not_sent(store):
    create(store)
    with store.database.change() as connection:
        connection.execute(update(tables.images).values(app=b"else"))
    with pytest.raises(UsageError, match="is damaged"):
        store.image(IMAGE[0].sha256)


texts = some.text(some.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
times = some.one_of(some.none(), some.floats(0, 2e9))
rows = some.builds(
    Board,
    prefix=some.just("a"),
    type=texts,
    image=some.text("0123456789abcdef", max_size=64),
    wave=some.integers(-1, 9),
    place=some.just(0),
    state=some.sampled_from(STATES),
    reason=texts,
    since=times,
    turn_at=times,
    attempts=some.integers(0, 9),
    not_before=times,
    again=some.booleans(),
    steady_since=times,
    boot_id=some.one_of(some.none(), texts),
)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(rows)
def test_everything_about_a_board_is_kept(store, row):
    known = store.rollouts()
    number = known[0].id if known else create(store, [presence("a")])
    assert store.claim(number, "x", 10)
    store.keep("x", 10, store.rollout(number), [row])
    assert store.read(number)[1] == [row]


def test_people_change_it_and_the_audit_says_who_and_when(store, clock):
    number = create(store)
    clock.now += 5
    rollout = store.change(number, "ben", "pause", lambda r, b, now: (pause(r, "ben"), b))
    assert (rollout.state, rollout.reason, rollout.revision) == (PAUSED, "paused by ben", 1)
    clock.now += 5
    store.change(number, "cleo", "resume", resume)
    assert store.rollout(number).state == RUNNING
    start = clock.now - 10
    assert store.entries(number) == [
        Entry(start, "anna", "rollout", number, None, "5 boards"),
        Entry(start + 5, "ben", "pause", number, None, "paused: paused by ben"),
        Entry(start + 10, "cleo", "resume", number, None, "running"),
    ]


def test_what_cannot_be_changed_changes_nothing(store):
    number = create(store)
    with pytest.raises(UsageError, match="No board of rollout"):
        store.change(number, "ben", "retry-failed", retry_failed)
    assert store.rollout(number).revision == 0 and len(store.entries(number)) == 1
    with pytest.raises(UsageError, match="There is no rollout 99"):
        store.change(99, "ben", "pause", lambda r, b, now: (pause(r, "ben"), b))
    with pytest.raises(UsageError, match="There is no rollout 99"):
        store.read(99)


def test_a_board_is_in_one_rollout_at_a_time(store):
    first = create(store, [presence("a"), presence("b")])
    with pytest.raises(UsageError, match=f"b is still to be updated by rollout {first}"):
        create(store, [presence("b"), presence("c")])
    assert len(store.rollouts()) == 1
    create(store, [presence("b")], broker="another:1883")
    store.change(first, "ben", "abort", lambda r, b, now: (abort(r, "ben"), drop(b, now)))
    assert create(store, [presence("b"), presence("c")])
    assert store.rollout(first).state == ABORTED


def drop(boards, now):
    return [moved(board, FAILED, now, "gone") for board in boards]


def test_nor_can_it_be_tried_again_while_another_has_it(store):
    first = create(store, [presence("a")])
    assert store.claim(first, "x", 10)
    rollout, (board,) = store.read(first)
    store.keep("x", 10, rollout, [moved(board, FAILED, 1.0, "crash")])
    second = create(store, [presence("a")])
    with pytest.raises(UsageError, match=f"a is still to be updated by rollout {second}"):
        store.change(first, "ben", "retry-failed", retry_failed)


def test_one_drives_and_another_does_when_the_lease_has_ended(store, clock):
    number = create(store)
    assert store.driver(number) is None
    assert store.claim(number, "x", 15) and not store.claim(number, "y", 15)
    clock.now += 14
    assert store.claim(number, "x", 15)
    clock.now += 14
    assert not store.claim(number, "y", 15)
    assert store.driver(number) == "x"
    clock.now += 1
    assert store.driver(number) is None
    assert store.claim(number, "y", 15) and not store.claim(number, "x", 15)
    store.release(number, "x")
    assert store.driver(number) == "y"
    store.release(number, "y")
    assert store.claim(number, "x", 15)


def test_who_had_the_lease_before_another_is_told_even_if_that_one_is_gone(store, clock):
    number = create(store)
    store.claim(number, "x", 15)
    clock.now += 20
    store.renew(number, "x", 15)  # nobody took it meanwhile
    clock.now += 20
    store.claim(number, "y", 15)
    clock.now += 20
    with pytest.raises(LeaseLost):
        store.renew(number, "x", 15)
    assert store.claim(number, "x", 15)
    store.renew(number, "x", 15)


def test_who_has_lost_the_lease_writes_nothing(store, clock):
    number = create(store)
    store.claim(number, "x", 15)
    rollout, boards = store.read(number)
    clock.now += 20
    store.keep("x", 15, rollout, [moved(boards[0], SENDING, 1.0)])  # nobody took it meanwhile
    clock.now += 20
    store.claim(number, "y", 15)
    with pytest.raises(LeaseLost):
        store.keep("x", 15, replace(rollout, wave=7), [moved(boards[1], DONE, 2.0)])
    after = store.read(number)
    assert after[0] == rollout and [board.state for board in after[1]].count(DONE) == 0


def test_what_was_decided_before_people_changed_it_is_refused(store):
    number = create(store)
    store.claim(number, "x", 15)
    rollout, boards = store.read(number)
    store.change(number, "ben", "pause", lambda r, b, now: (pause(r, "ben"), b))
    with pytest.raises(StaleError):
        store.keep("x", 15, rollout, [moved(boards[0], SENDING, 1.0)])
    after, kept = store.read(number)
    assert after.state == PAUSED and kept == boards


def test_of_many_that_claim_at_once_one_gets_the_lease(place, store):
    number = create(store)
    stores = [Store(place) for _ in range(6)]
    start, won = threading.Barrier(len(stores)), []

    def claim(name, one):
        start.wait(30)
        if one.claim(number, name, 60):
            won.append(name)

    threads = [
        threading.Thread(target=claim, args=(f"driver {index}", one))
        for index, one in enumerate(stores)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for one in stores:
        one.close()
    assert len(won) == 1


def test_changes_of_many_at_once_are_all_kept(place, store):
    number = create(store)
    stores = [Store(place) for _ in range(4)]

    def change(one):
        for _ in range(5):
            one.change(number, "ben", "look", lambda r, b, now: (r, b))

    threads = [threading.Thread(target=change, args=(one,)) for one in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for one in stores:
        one.close()
    assert store.rollout(number).revision == 20


def test_the_clock_is_that_of_the_database(place):
    with Store(place) as store:
        number = create(store)
        assert store.rollout(number).created_at > 1_700_000_000
        assert store.claim(number, "x", 1000) and store.driver(number) == "x"


def test_a_database_of_a_newer_mqboard_is_left_alone(place, store):
    with store.database.change() as connection:
        connection.execute(update(tables.schema).values(version=tables.VERSION + 1))
    with pytest.raises(UsageError, match="has schema 4, and this mqboard knows schema 3"):
        Store(place)


@pytest.mark.parametrize(
    "version, without", [(1, tables.SINCE_2 + tables.SINCE_3), (2, tables.SINCE_3)]
)
def test_an_older_database_gets_what_is_new_and_keeps_what_it_has(place, store, version, without):
    number = create(store)
    with store.database.change() as connection:
        tables.metadata.drop_all(connection, without)
        connection.execute(update(tables.schema).values(version=version))
    for _ in range(2):
        with Store(place) as again:
            assert again.rollout(number).id == number
            assert not Accounts(again.database).any()
            assert not UnderWay(again.database, "b", "s", "p").take_left("")


def test_the_password_is_in_no_error(postgres):
    with pytest.raises(StoreError) as caught:
        Store(postgres.url("nowhere"))
    text = str(caught.value)
    assert '"nowhere" does not exist' in text and "a secret" not in text and "%20" not in text


def test_a_server_that_was_restarted_is_used_again(postgres):
    with Store(postgres.database("restarted")) as store:
        number = create(store)
        postgres.stop()
        with pytest.raises(StoreError, match="See whether it runs"):
            store.rollout(number)
        postgres.start()
        assert store.rollout(number).id == number


def test_a_file_that_is_no_database_is_named(tmp_path):
    path = tmp_path / "fleet.db"
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError, match=r"fleet\.db is no database, but something else"):
        Store(str(path))
    assert path.read_bytes().startswith(b"no database")


def test_a_full_disk_is_said_to_be_full(tmp_path):
    with Store(str(tmp_path / "fleet.db")) as store:
        number = create(store)
        with store.database.look() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        store.database._engine.dispose()
        event.listen(
            store.database._engine,
            "connect",
            lambda made, record: made.execute(f"PRAGMA max_page_count={pages}"),
        )
        with pytest.raises(StoreError, match="its disk is full"):
            store.note([Entry(0.0, "anna", "x" * 4000, number, None, "") for _ in range(50)])
        assert store.rollout(number).id == number


def test_the_file_is_in_the_users_state_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with open_store() as store:
        number = create(store)
    with sqlite3.connect(tmp_path / "mqboard" / "fleet.db") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("SELECT id FROM rollouts").fetchall() == [(number,)]
    assert (tmp_path / "mqboard").stat().st_mode & 0o77 == 0


@pytest.mark.parametrize(
    "place",
    ["mysql://a/b", "sqlite://", "sqlite:///:memory:", "postgresql://host", "://", "a b://"],
)
def test_a_place_that_is_none_is_refused(place):
    with pytest.raises(UsageError, match="names no database that can be used"):
        database_url(place)


def test_without_what_it_needs_it_is_said_how_to_get_that(monkeypatch):
    for name in ("mqhost.fleet.store.store", "sqlalchemy"):
        monkeypatch.delitem(__import__("sys").modules, name, raising=False)
    monkeypatch.setitem(__import__("sys").modules, "sqlalchemy", None)
    with pytest.raises(UsageError, match=r"mqboard\[fleet\]"):
        open_store("/nowhere")


def test_a_text_that_a_database_does_not_take_is_kept_without_that(store):
    said = "1\0 + \ud800 ä"
    store.note([Entry(1.0, "anna", f"eval {said}", None, "farm/1", said)])
    (entry,) = store.entries(board="farm/1")
    assert (entry.what, entry.result) == ("eval 1\N{REPLACEMENT CHARACTER} + ? ä", entry.what[5:])
    assert store.entries(board="\0") == []
