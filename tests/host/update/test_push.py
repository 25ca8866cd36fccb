"""Tests the update push against mosquitto and a fake board that loses, doubles, refuses, dies."""

import json
import random
import threading
import time
import zlib

import pushing
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from fakeboard import FakeBoard, decode
from hypothesis import given
from hypothesis import strategies as st
from pushing import interrupt, offer_for
from rsakeys import private_pem

import mqwire
from mqhost.errors import (
    BoardError,
    BrokerError,
    RefusedError,
    SilentBoardError,
    ToolError,
    UsageError,
)
from mqhost.link.session import Session
from mqhost.link.settings import Settings
from mqhost.signing.offer import block_of
from mqhost.signing.secure_boot import SecureBootKey
from mqhost.sim.broker import Broker, free_port
from mqhost.update import confirmation
from mqhost.update import transfer as transfer_module
from mqhost.update.blocks import Encoder, encode
from mqhost.update.failures import SENTENCES, RolledBack, failure, why
from mqhost.update.push import push
from mqhost.update.store import ImageStore
from mqwire import codes
from mqwire import update as wire

BLOCKS = 12
CODES = {value for name, value in vars(codes).items() if name.isupper()}


def image(blocks=BLOCKS, extra=-100, seed=1):
    """Make an app image of incompressible and of compressible blocks in turn."""
    source = random.Random(seed)
    parts = [
        source.randbytes(4096) if number % 2 else source.randbytes(64) * 64
        for number in range(blocks + 1)
    ]
    return b"".join(parts)[: blocks * 4096 + extra]


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Shorten the stalls: the tests lose things on purpose."""
    for name in ("_STALL_COMPARE", "_STALL_SEND", "_STALL_SENT", "_STALL_VERIFY"):
        monkeypatch.setattr(transfer_module, name, 0.3)
    monkeypatch.setattr(transfer_module, "_STALL_REJECTED", 0.1)
    monkeypatch.setattr(transfer_module, "_POLL", 0.02)
    monkeypatch.setattr(transfer_module, "_BUSY_PAUSE", 0.05)
    monkeypatch.setattr(transfer_module, "_BUSY_PATIENCE", 2.0)
    monkeypatch.setattr(transfer_module, "_ROOM_PATIENCE", 0.5)


def push_new(session, app=None, **options):
    return pushing.push_new(session, image() if app is None else app, **options)


# Blocks


@given(st.binary(min_size=0, max_size=300), st.integers(1, 40))
def test_an_encoded_block_decodes_with_a_4_kib_window(data, times):
    block = (data * times)[:4096].ljust(4096, b"\xff")
    encoding, coded = encode(block)
    if encoding == wire.DEFLATE:
        assert len(coded) < 4096
        assert zlib.decompressobj(-wire.WINDOW_BITS).decompress(coded) == block
    else:
        assert coded == block


def test_incompressible_blocks_travel_raw():
    assert encode(random.Random(3).randbytes(4096))[0] == wire.RAW


@given(st.integers(1, 9), st.integers(-1, 1), st.randoms())
def test_messages_hold_the_blocks_asked_for_within_their_size(blocks, extra, chance):
    app = image(blocks, extra)
    numbers = [number for number in range(-(-len(app) // 4096)) if chance.random() < 0.7]
    found = []
    for payload, count in Encoder(app).messages(numbers):
        assert len(payload) <= mqwire.MAX_PAYLOAD
        position = records = 0
        while position < len(payload):
            number, encoding, start, position = wire.unpack_record(payload, position)
            data = decode(number, encoding, payload[start:position], b"")
            assert data == block_of(app, number)
            found.append(number)
            records += 1
        assert records == count
    assert found == numbers


# The plain case


@pytest.mark.parametrize("extra", [-1, 0, 1])
@pytest.mark.parametrize("blocks", [1, 2, 7])
def test_an_update_arrives_to_the_byte(session, board, blocks, extra):
    app = image(blocks, extra)
    result = push_new(session, app)
    assert board.image == app
    assert (result.old_version, result.new_version, result.slot) == ("0.1.0", "0.2.0", "ota_1")
    assert result.blocks_sent == result.blocks_total == -(-len(app) // 4096)
    assert (result.offers, result.already) == (1, False)
    assert 0 < result.bytes_sent < len(app) + 2000


def test_what_runs_already_is_not_sent(session, board):
    result = push(session, offer_for(board.image), board.image)
    assert (result.already, result.bytes_sent) == (True, 0)
    assert [command for command, _ in board.requests] == ["info"]


def test_a_chip_with_secure_boot_is_sent_only_what_it_starts(session, board, tmp_path, monkeypatch):
    monkeypatch.setenv("MQBOARD_CACHE", str(tmp_path))
    pem = private_pem(ec.derive_private_key(7, ec.SECP256R1())).encode()
    key = SecureBootKey("ecdsa256", "here", pem)
    board.image = key.sign(image(3))
    app = image(4)
    for full in (False, True):
        with pytest.raises(RefusedError, match="signed for secure boot.*Nothing was sent"):
            push(session, offer_for(app), app, base=None if full else board.image, full=full)
        ImageStore().put(board.image, offer_for(board.image))  # now it is known without a base
    assert {command for command, _ in board.requests} == {"info"}
    signed = key.sign(app)
    assert push(session, offer_for(signed), signed).new_version == "0.2.0"
    assert board.image == signed


def test_what_runs_already_but_unconfirmed_is_waited_for(session, board):
    board.facts["slot_state"] = "pending"
    confirmer = threading.Timer(
        0.2, lambda: (board.facts.update(slot_state="valid"), board.announce())
    )
    confirmer.start()
    result = push(session, offer_for(board.image), board.image, confirm_timeout=10)
    confirmer.join()
    assert (result.already, result.bytes_sent) == (False, 0)


def test_an_update_of_somebody_else_that_comes_first_is_waited_for(session, board):
    def come_first(command, ident, body):
        """Restart into another image, on trial, when the offer comes; confirm it later."""
        if command == "update":
            board.answer = None
            board.image = b"the other's image"
            board.boots += 1
            board.refuse = wire.UNCONFIRMED
            board.facts.update(slot_state="pending", version="0.1.9")
            board.announce()
            confirmer.start()
        getattr(board, "_do_" + command)(ident, body)
        return []

    def confirm():
        board.refuse = None
        board.facts.update(slot_state="valid")
        board.announce()

    confirmer = threading.Timer(0.3, confirm)
    board.answer = come_first
    stages = []
    app = image()
    result = push_new(session, app, progress=lambda stage, *_: stages.append(stage))
    confirmer.join()
    assert (board.image, result.old_version) == (app, "0.1.9")
    assert transfer_module.SETTLE in stages


def test_only_missing_blocks_are_sent(session, board):
    app = image()
    board.slot[: 4 * 4096] = app[: 4 * 4096]
    result = push_new(session, app)
    assert board.image == app
    assert result.blocks_sent == BLOCKS - 4
    assert sorted(board.writes) == list(range(4, BLOCKS))


def test_a_slot_that_has_it_all_needs_no_block(session, board):
    app = image()
    board.slot[: len(app)] = app
    assert push_new(session, app).blocks_sent == 0
    assert board.image == app


def test_progress_is_told_in_stages(session):
    told = []
    push_new(session, progress=lambda stage, done, total: told.append((stage, done, total)))
    stages = [stage for stage, _, _ in told]
    assert stages == sorted(stages, key=["compare", "send", "restart", "confirm"].index)
    done = [done for stage, done, _ in told if stage == "send"]
    assert done == sorted(done)
    assert told[-1][1:] == (BLOCKS, BLOCKS)


@pytest.mark.parametrize("credit", [1, 2, 16, 255])
@pytest.mark.parametrize("report_every", [1, 2, 4])
def test_credit_is_never_exceeded(session, board, credit, report_every):
    board.credit = max(credit, report_every)
    board.report_every = report_every
    flying = []
    publish = session.connection.publish
    sent = 0

    def count(topic, payload, qos=1):
        nonlocal sent
        if "/blocks/" in topic:
            sent += 1
            flying.append(sent - board.block_messages)
        return publish(topic, payload, qos)

    session.connection.publish = count
    result = push_new(session)
    assert max(flying) <= board.credit
    assert result.offers == 1


# Losses


def test_a_lost_message_is_made_good(session, board):
    board.on_block = lambda number, payload: [] if number == 3 else [payload]
    result = push_new(session)
    assert board.image == image()
    assert result.offers == 2
    assert len(board.writes) == BLOCKS == len(set(board.writes))


def test_losing_the_last_messages_is_made_good(session, board):
    last = len(list(Encoder(image()).messages(range(BLOCKS))))
    board.on_block = lambda number, payload: [] if number == last else [payload]
    assert push_new(session).offers == 2
    assert board.image == image()


def test_doubled_messages_do_no_harm(session, board):
    board.on_block = lambda number, payload: [payload, payload]
    push_new(session)
    assert board.image == image()


def test_messages_in_another_order_do_no_harm(session, board):
    held = []

    def reorder(number, payload):
        if number in (2, 5):
            held.append(payload)
            return []
        return [payload, *[held.pop() for _ in range(len(held))]]

    board.on_block = reorder
    assert push_new(session).offers == 1
    assert board.image == image()


def test_a_flipped_bit_is_asked_for_again(session, board):
    def flip(number, payload):
        if number != 2:
            return [payload]
        return [payload[:200] + bytes([payload[200] ^ 1]) + payload[201:]]

    board.on_block = flip
    assert push_new(session).offers == 2
    assert board.image == image()


@pytest.mark.parametrize("seed", range(4))
def test_a_bad_line_only_takes_longer(session, board, seed):
    chance = random.Random(seed)

    def spoil(number, payload):
        dice = chance.random()
        if dice < 0.2:
            return []
        return [payload, payload] if dice < 0.4 else [payload]

    board.on_block = spoil
    push_new(session)
    assert board.image == image()


def test_a_lost_first_answer_repeats_the_offer(session, board):
    board.silent.add("update")

    def wake():
        while not any(command == "update" for command, _ in board.requests):
            time.sleep(0.01)
        board.silent.clear()

    waker = threading.Thread(target=wake)
    waker.start()
    assert push_new(session).offers >= 2
    waker.join()
    assert len({ident for command, ident in board.requests if command == "update"}) >= 2


def test_a_lost_goodbye_is_replaced_by_the_status(session, board):
    board.lose_installed = True
    push_new(session)
    assert board.image == image()


def test_a_power_cut_in_the_middle_resumes(session, board):
    cut = []

    def die(number, payload):
        if number == 4 and not cut:
            cut.append(number)
            board.power_cycle()
            return []
        return [payload]

    board.on_block = die
    result = push_new(session)
    assert board.image == image()
    assert len(board.writes) == BLOCKS == len(set(board.writes))
    assert result.offers == 2


def test_a_broker_restart_in_the_middle_resumes():
    with Broker(free_port()) as own, FakeBoard(own.port) as board:
        restarter = []
        done = threading.Event()

        def restart_and_stay():
            own.restart()
            done.wait(60)  # the broker ends with the thread that started it

        def restart(number, payload):
            if number == 3 and not restarter:
                restarter.append(threading.Thread(target=restart_and_stay))
                restarter[0].start()
            return [payload]

        board.on_block = restart
        with Session(Settings(port=own.port, prefix=board.prefix)) as session:
            push_new(session)
        done.set()
        restarter[0].join()
        assert board.image == image()


def test_an_interrupted_push_resumes_with_what_is_missing(session, board):
    with pytest.raises(KeyboardInterrupt):
        push_new(session, progress=interrupt)
    assert session.request("eval", b"1").data == b"1"
    result = push_new(session)
    assert board.image == image()
    assert result.blocks_sent <= BLOCKS - 4


# Refusals and failures


def test_every_code_has_a_sentence():
    assert set(SENTENCES) == CODES
    assert all(sentence.endswith(".") for sentence in SENTENCES.values())


@pytest.mark.parametrize("code", sorted(code for code in CODES if code >= wire.REFUSED))
def test_every_refusal_and_failure_is_an_error_of_its_kind(session, board, code):
    board.refuse = code
    kind = RefusedError if code < wire.FAILED else BoardError
    with pytest.raises(kind) as caught:
        push_new(session)
    assert str(caught.value) == SENTENCES[code] + " (because)"
    assert caught.value.exit_code == (5 if code < wire.FAILED else 1)
    assert board.block_messages == 0


def test_a_board_that_has_no_memory_at_the_moment_is_offered_it_again(session, board, monkeypatch):
    monkeypatch.setattr(transfer_module, "_ROOM_PATIENCE", 30.0)
    board.refuse = wire.NO_MEMORY
    threading.Timer(0.3, setattr, (board, "refuse", None)).start()
    assert push_new(session).offers > 1
    assert board.image == image()


def test_an_unknown_code_is_named():
    assert "code 31" in str(failure(31, b""))
    assert isinstance(failure(255, b"\xff"), BoardError)


@pytest.mark.parametrize(("key", "value"), [("board", "esp32"), ("mcu", "esp32s3")])
def test_an_image_for_another_board_is_not_sent(session, board, key, value):
    app = image()
    with pytest.raises(UsageError, match=f"{value}; .* Nothing was sent"):
        push(session, offer_for(app, **{key: value}), app)
    assert [command for command, _ in board.requests] == ["info"]
    with pytest.raises(RefusedError, match="for another"):
        push(session, offer_for(app, **{key: value}), app, force=True)


def test_an_offer_for_another_image_is_not_sent(session, board):
    with pytest.raises(UsageError, match="another image"):
        push(session, offer_for(image()), image(seed=2))
    assert not board.requests


def test_an_image_larger_than_the_slot_is_refused(session, board):
    with pytest.raises(RefusedError, match="does not fit"):
        push_new(session, image(len(board.slot) // 4096, 1))


@pytest.mark.parametrize("code", [[], {}, "53", None, -5])
def test_a_board_may_say_anything_of_a_failed_update(code):
    assert "It gave up." in why({"code": code, "reason": "it says so"})


def test_a_rolled_back_update_is_a_board_error_with_the_reason(session, board):
    board.outcome = "rolled back"
    with pytest.raises(RolledBack, match=r"0\.2\.0 .*it crashed.* runs 0\.1\.0 again") as caught:
        push_new(session)
    assert caught.value.exit_code == 1


def test_a_rollback_is_seen_without_the_goodbye_too(session, board):
    board.outcome = "rolled back"
    board.lose_installed = True
    with pytest.raises(RolledBack):
        push_new(session)


def test_a_second_try_after_a_rollback_can_succeed(session, board):
    board.outcome = "rolled back"
    with pytest.raises(RolledBack):
        push_new(session)
    board.outcome = "confirmed"
    with pytest.raises(RefusedError, match="gone back"):
        push_new(session)
    push_new(session, retry_failed=True)
    assert board.image == image()


@pytest.mark.parametrize(
    ("outcome", "seen"), [("never back", "is offline"), ("never confirmed", "has not confirmed")]
)
def test_a_verdict_that_does_not_come_says_what_was_seen(session, board, outcome, seen):
    board.outcome = outcome
    with pytest.raises(SilentBoardError, match=seen):
        push_new(session, confirm_timeout=0.5)


@pytest.mark.parametrize(
    ("told", "waited"),
    [(0.4, 0.5), (None, 0.3), (0, 0.3), ("x", 0.3), (True, 0.3), (1e300, 0.3), (10**400, 0.3)],
)
def test_a_board_has_the_time_to_confirm_that_it_gives_itself(
    session, board, monkeypatch, told, waited
):
    monkeypatch.setattr(confirmation, "CONFIRM_S", 0.2)
    monkeypatch.setattr(confirmation, "_RESTART_SECONDS", 0.1)
    board.outcome = "never confirmed"
    board.facts["confirm_s"] = told
    with pytest.raises(SilentBoardError, match=f"did not confirm it within {waited} s"):
        push_new(session, confirm_timeout=None)


def test_a_silent_board_gets_nothing(settings):
    impatient = Settings(port=settings.port, prefix=settings.prefix, timeout=0.3)
    with Session(impatient) as session, pytest.raises(SilentBoardError, match="Is the prefix"):
        push_new(session)


# Prefixes and sizes


def takes_old_topics(topic):
    """Return whether firmware took that topic before both ends shared a rule."""
    return topic.isascii() and len(topic) <= 200


@pytest.fixture(params=["küche/licht 1", "ü" * 50 + "x" * 100], ids=["umlaut", "longest"])
def old(broker, request):
    """Give a session with such a board, and the board."""
    settings = Settings(server=broker.host, port=broker.port, prefix=request.param, timeout=20)
    with FakeBoard(broker.port, request.param) as board, Session(settings) as session:
        board.takes_topic = takes_old_topics
        yield session, board


def test_a_board_with_the_old_rule_gets_its_blocks_where_it_takes_them(old):
    session, board = old
    result = push_new(session)
    assert (board.image, result.offers) == (image(), 2)
    assert takes_old_topics(board.options["topic"])


def test_a_board_that_hears_no_blocks_there_is_told_to_be_let(old):
    session, board = old
    board.on_block = lambda number, payload: []
    with pytest.raises(SilentBoardError, match="prefix; they went to mqboard/mqb/blocks/.* rules"):
        push_new(session, patience=1)


def test_a_board_that_is_not_let_listen_there_says_so(old):
    session, board = old

    def answer(command, ident, body):
        options = json.loads(bytes(wire.unpack_request(body)[2])) if command == "update" else {}
        if command == "info":
            facts = json.dumps(board.status()).encode()
            return [(mqwire.reply_topic(board.prefix, ident), mqwire.SINGLE + facts)]
        if takes_old_topics(options["topic"]):
            return [(mqwire.error_topic(board.prefix, ident), b"MqttError: broker does not")]
        refusal = mqwire.SINGLE + wire.pack_reply(wire.MALFORMED)
        return [(mqwire.reply_topic(board.prefix, ident), refusal)]

    board.answer = answer
    with pytest.raises(BoardError, match=r"does not\nIts firmware .* mqboard/mqb/blocks/"):
        push_new(session)


def test_an_offer_that_no_board_can_read_is_offered_twice_at_most(old):
    session, board = old
    board.refuse = wire.MALFORMED
    with pytest.raises(RefusedError, match="cannot read the offer"):
        push_new(session)
    assert [command for command, _ in board.requests].count("update") == 2


def test_an_offer_that_is_too_long_for_a_command_is_not_sent(session, board):
    with pytest.raises(UsageError, match=rf"bytes; {mqwire.MAX_BODY} is the most"):
        push_new(session, bytes(3100 * 4096))
    assert [command for command, _ in board.requests] == ["info"]


def test_a_board_that_falls_silent_is_given_up(session, board):
    board.on_block = lambda number, payload: (
        [payload] if number < 4 else board.silent.add("update") or []
    )
    with pytest.raises(SilentBoardError, match=r"of 12 blocks are still missing.* resume"):
        push_new(session, patience=1.0)


def test_a_broker_that_goes_for_good_is_a_broker_error():
    with Broker(free_port()) as own, FakeBoard(own.port) as board:
        gone = []

        def end(number, payload):
            if not gone:
                gone.append(threading.Thread(target=own.stop))
                gone[0].start()
            return []

        board.on_block = end
        session = Session(Settings(port=own.port, prefix=board.prefix, timeout=5))
        with session, pytest.raises(BrokerError, match="lost"):
            push_new(session, patience=1.5)
        gone[0].join()


@given(st.binary(max_size=40))
def test_nonsense_from_the_board_is_survived(data):
    attempt = transfer_module._Attempt(Encoder(b"x" * 5000), 2, True)
    try:
        code, credit, received, body = wire.unpack_reply(data)
    except mqwire.WireError:
        return
    if code == wire.RECEIVING:
        attempt.update(credit, received, body)
        list(attempt.sendable())
    else:
        assert isinstance(failure(code, body), ToolError)
