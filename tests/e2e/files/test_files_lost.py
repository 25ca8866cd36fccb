"""Tests that files arrive whole whatever is lost on the way: connections, the broker, power."""

import json
import random
import threading

import pytest

from mqhost.errors import ToolError
from mqhost.remote.board_files import BoardFiles
from mqhost.remote.faults import FileError, FileRefused
from mqhost.remote.trees import get_tree, put_tree
from mqhost.sim.broker import Broker
from mqhost.sim.device import State

DATA = random.Random(1).randbytes(350_000)
OLD = random.Random(2).randbytes(60_000)
SLACK = 2048  # bytes of heap


class Once:
    """A progress callback that does `work` once, when so many bytes have gone."""

    def __init__(self, at, work):
        self._at = at
        self._work = work
        self.done = False

    def __call__(self, what, done, total):
        if done >= self._at and not self.done:
            self.done = True
            self._work()


@pytest.fixture
def own_broker():
    with Broker() as running:
        yield running


@pytest.fixture
def files(board):
    with board.session() as session:
        yield BoardFiles(session)


def names(files):
    return [entry.path for entry in files.ls("/")]


def free(files):
    return files.df()[-1].free


def test_a_broker_that_restarts_delays_files_and_loses_none(make_board, own_broker):
    board = make_board(at=own_broker)
    board.wait_online()
    with board.session() as session:
        files = BoardFiles(session)
        seen = Once(150_000, own_broker.restart)
        files.write("/f", DATA, progress=seen)
        assert seen.done
        seen = Once(150_000, own_broker.restart)
        assert files.read("/f", progress=seen) == DATA
        assert seen.done
        assert names(files) == ["config.json", "f"]


def test_a_put_that_was_interrupted_says_how_much_was_there_already(files):
    class Stopped(Exception):
        pass

    def stop(what, done, total):
        if done >= 200_000:
            raise Stopped

    with pytest.raises(Stopped):
        files.write("/f", DATA, progress=stop)
    done = files.write("/f", DATA)
    assert (done.path, done.size) == ("/f", len(DATA)) and 100_000 < done.resumed < len(DATA)
    assert files.write("/f", DATA).resumed == 0
    assert files.read("/f") == DATA


def test_a_put_goes_on_after_a_reset_of_the_board(board, files):
    files.write("/f", OLD)
    once = Once(200_000, board.device.press_reset)
    before = board.device.flash.counters.programmed_bytes
    files.write("/f", DATA, progress=once)
    assert once.done and len(board.device.boots) == 2
    assert files.read("/f") == DATA
    assert names(files) == ["config.json", "f"]
    # Of what had come, most is not sent and written again.
    assert board.device.flash.counters.programmed_bytes - before < 1.4 * len(DATA)


def test_a_put_and_a_get_go_on_after_our_own_connection_was_lost(files):
    connection = files.session.connection

    def lose():
        connection._client.socket().shutdown(2)

    files.write("/f", DATA, progress=Once(100_000, lose))
    assert files.read("/f", progress=Once(100_000, lose)) == DATA


@pytest.mark.parametrize("seed", range(6))
def test_when_power_goes_the_old_file_is_there_or_the_new_one_and_the_put_goes_on(
    board, files, seed
):
    chance = random.Random(seed)
    files.write("/f", OLD)
    data = DATA[: chance.choice((50, 5000, 70_000))]
    operations = 10 + len(data) // 128
    device = board.device
    device.cut_power_after(chance.randrange(operations), chance.choice((0.0, 0.5, 1.0)))

    def turn_on():
        device.wait_for(lambda device: device.state is State.OFF or done.is_set(), 30)
        if device.state is State.OFF:
            device.power_on()

    done = threading.Event()
    hand = threading.Thread(target=turn_on)
    hand.start()
    try:
        files.write("/f", data)
    finally:
        done.set()
        hand.join()
        device.cut_power_after(None)
    assert files.read("/f") == data
    assert ".put" not in board.eval("__import__('os').listdir('/')")


def test_a_filesystem_that_gets_full_meanwhile_is_a_clean_error(board, files):
    files.write("/f", OLD)

    def fill():
        board.eval(
            "import os\n"
            "os.mkdir('/filler')\n"
            "n = 0\n"
            "try:\n"
            " while True:\n"
            "  n += 1\n"
            "  with open('/filler/%d' % n, 'wb') as f: f.write(bytes(16384))\n"
            "except OSError: pass\n"
        )

    once = Once(60_000, fill)
    with pytest.raises(FileRefused, match="full|room"):
        files.write("/f", DATA, progress=once)
    assert once.done
    files.rm(["/filler"], recursive=True)
    assert files.read("/f") == OLD
    assert set(names(files)) == {"config.json", "f"}
    assert free(files) > 800_000
    files.write("/f", DATA)
    assert files.read("/f") == DATA


def test_two_operators_put_one_path_and_it_is_one_of_the_two(board):
    contents = [random.Random(seed).randbytes(120_000) for seed in (1, 2)]
    for pair in (contents, [contents[0]] * 2):
        failures = []

        def work(data, failures=failures):
            try:
                with board.session() as session:
                    BoardFiles(session).write("/f", data)
            except ToolError as error:
                failures.append(error)

        operators = [threading.Thread(target=work, args=(data,)) for data in pair]
        for operator in operators:
            operator.start()
        for operator in operators:
            operator.join()
        assert failures == []
        with board.session() as session:
            assert BoardFiles(session).read("/f") in pair


def test_a_tree_of_a_thousand_files_goes_up_comes_back_and_leaves_no_memory_behind(
    board, files, tmp_path
):
    board.wait_settled()
    session = files.session

    def heap():
        return min(json.loads(session.request("info").data)["heap_used"] for _ in range(8))

    source, copy = tmp_path / "source", tmp_path / "copy"
    for number in range(1000):
        place = source / f"folder {number % 20}" / f"modül {number}.py"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"#%d\n" % number * (number % 20))
    once = put_tree(files, source / "folder 1", "/first")
    assert len(once) == 50
    board.eval("board.files and setattr(board.files, '_used', -20000)")
    idle = heap()

    assert len(put_tree(files, source, "/tree")) == 1000
    assert len(get_tree(files, "/tree", copy)) == 1000
    for place in source.rglob("*.py"):
        assert (copy / place.relative_to(source)).read_bytes() == place.read_bytes()
    assert files.rm(["/tree"], recursive=True) == 1021
    assert heap() <= idle + 3 * SLACK


def test_what_is_not_there_any_more_is_an_error(files):
    with pytest.raises(FileError):
        files.read("/none")
