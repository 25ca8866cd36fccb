"""Tests differences to the image that runs: what they decode to, what becomes of useless ones."""

import hashlib
import random

import pytest
from fakeboard import decode
from hypothesis import given, settings
from hypothesis import strategies as st
from pushing import push_new

import mqwire
from mqhost.errors import UsageError
from mqhost.link.session import Session
from mqhost.signing.offer import Offer, block_of
from mqhost.update import push as update
from mqhost.update import transfer as transfer_module
from mqhost.update.blocks import MAX_BLOCKS, Encoder
from mqhost.update.delta import Delta, differences, find_matches
from mqwire import update as wire


def firmware(size=40_000, seed=1):
    """Make bytes like those of a program: words of which some are addresses."""
    source = random.Random(seed)
    words = (source.choice((source.randrange(1 << 32), 0x3F400000 + n)) for n in range(size // 4))
    return b"".join(word.to_bytes(4, "little") for word in words)


def moved(image, at=10_000, by=16):
    """Return `image` with `by` bytes more at `at`, and the addresses changed accordingly."""
    numbers = [int.from_bytes(image[n : n + 4], "little") for n in range(0, len(image), 4)]
    numbers = [n + by if 0x3F400000 + at // 4 <= n < 0x3F500000 else n for n in numbers]
    image = b"".join(number.to_bytes(4, "little") for number in numbers)
    return image[:at] + bytes(range(by)) + image[at:]


def decoded(messages, base):
    """Return {block number: block} of what is in the messages."""
    found = {}
    for payload, _ in messages:
        assert len(payload) <= mqwire.MAX_PAYLOAD
        position = 0
        while position < len(payload):
            number, encoding, start, position = wire.unpack_record(payload, position)
            data = decode(number, encoding, payload[start:position], base)
            for index in range(0, len(data), wire.BLOCK_SIZE):
                found[number + index // wire.BLOCK_SIZE] = data[index : index + wire.BLOCK_SIZE]
    return found


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=9000), st.lists(st.tuples(st.integers(0, 9000), st.binary(max_size=60))))
def test_any_change_of_any_image_is_told(base, edits):
    app = bytearray(base or b"x")
    for position, data in edits:
        app[position : position + len(data) // 2] = data
    app = bytes(app) or b"x"
    numbers = range(-(-len(app) // wire.BLOCK_SIZE))
    found = decoded(Encoder(app, Delta(base, app)).messages(numbers), base)
    assert found == {number: block_of(app, number) for number in numbers}


def test_matches_cover_the_whole_image_in_order():
    base = firmware()
    app = moved(base)
    position = 0
    for match in find_matches(base, app):
        assert match.start == position
        assert match.source is None or 0 <= match.source <= len(base) - match.size
        position += match.size
    assert position == len(app)


def test_what_moved_costs_little():
    base = firmware(400_000)
    app = moved(base)
    numbers = range(-(-len(app) // wire.BLOCK_SIZE))
    encoder = Encoder(app, Delta(base, app))
    messages = list(encoder.messages(numbers))
    sent = sum(len(payload) for payload, _ in messages)
    plain = sum(len(payload) for payload, _ in Encoder(app).messages(numbers))
    assert sent < plain / 5
    assert encoder.saved == plain - sent
    assert all(blocks <= MAX_BLOCKS for _, blocks in messages)
    assert decoded(messages, base) == {number: block_of(app, number) for number in numbers}


def test_differences_are_found_once_for_all_boards_that_are_sent_them():
    base = random.Random(7).randbytes(20_000)
    app = base[:5000] + b"new" + base[5000:]
    found = differences(base, app)
    assert differences(bytes(bytearray(base)), app) is found
    assert differences(app, base) is not found


def test_only_the_blocks_asked_for_are_told():
    base = firmware()
    app = moved(base)
    for numbers in ([1], [0, 2, 3], [9, 1, 2, 8], []):
        found = decoded(Encoder(app, Delta(base, app)).messages(numbers), base)
        assert found == {number: block_of(app, number) for number in numbers}


# Pushed


@pytest.fixture
def running(board, tmp_path, monkeypatch):
    """Give the image that the fake board runs; nothing is in the local store."""
    monkeypatch.setenv("MQBOARD_CACHE", str(tmp_path))
    monkeypatch.setattr(transfer_module, "_STALL_REJECTED", 0.1)
    monkeypatch.setattr(transfer_module, "_POLL", 0.02)
    board.image = firmware()
    return board.image


def push_to(settings, app, **options):
    with Session(settings) as session:
        return push_new(session, app, **options)


def test_a_given_base_is_used_when_it_is_what_runs(settings, board, running):
    app = moved(running)
    result = push_to(settings, app, base=running)
    assert board.image == app
    assert board.options["base"] == result.base == hashlib.sha256(running).hexdigest()
    assert result.bytes_sent + result.bytes_saved > len(app) / 2 > 4 * result.bytes_sent


def test_the_base_is_found_in_the_local_store(settings, board, running):
    update.ImageStore().put(
        running, Offer.make(running, board="sim", mcu="esp32", version="0.1.0", seq=1)
    )
    assert push_to(settings, moved(running)).base == hashlib.sha256(running).hexdigest()


@pytest.mark.parametrize("options", [{}, {"full": True}])
def test_without_the_base_blocks_travel_by_themselves(settings, board, running, options):
    result = push_to(settings, moved(running), **options)
    assert (result.base, result.bytes_saved, result.offers) == ("", 0, 1)
    assert "base" not in board.options


@pytest.mark.parametrize("options", [{"base": b"another"}, {"base": b"", "full": True}])
def test_a_base_that_is_of_no_use_is_an_error(settings, board, running, options):
    with pytest.raises(UsageError, match="(?i)base"):
        push_to(settings, moved(running), **options)
    assert board.image == running


def test_a_board_that_runs_something_else_meanwhile_gets_it_in_full(
    settings, board, running, monkeypatch
):
    monkeypatch.setattr(update, "find_base", lambda *_: b"what it does not run")
    result = push_to(settings, moved(running))
    assert (result.base, result.offers) == ("", 2)
    assert board.image == moved(running)


def test_a_board_that_takes_no_differences_gets_it_in_full(settings, board, running):
    board.takes_deltas = False
    result = push_to(settings, moved(running), base=running)
    assert (result.base, result.offers) == ("", 2)
    assert board.image == moved(running)
