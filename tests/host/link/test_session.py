"""Tests the session against mosquitto and a fake board: requests, replies, silence, faults."""

import contextlib
import json
import shutil
import socket
import subprocess
import threading
import time
from dataclasses import replace

import pytest
from fakeboard import FakeBoard
from waiting import wait_until

import mqwire
from mqhost.errors import BoardError, BrokerError, RefusedError, SilentBoardError, UsageError
from mqhost.link.exchange import PART_SIZE, new_ident, split
from mqhost.link.session import Session
from mqhost.link.settings import Settings
from mqhost.sim.broker import Broker, free_port


def test_a_request_gets_its_reply(session):
    assert session.request("eval", b"45+876").data == b"921"


def test_ids_are_8_characters_that_fit_a_topic():
    idents = {new_ident() for _ in range(200)}
    assert len(idents) == 200
    assert all(len(ident) == 8 and not set(ident) & set("/+#") for ident in idents)


def test_an_id_is_no_option_of_a_command_line(monkeypatch):
    monkeypatch.setattr("mqhost.link.exchange.secrets.token_urlsafe", lambda size: "-all-abc")
    assert new_ident() == "_all-abc"


@pytest.mark.parametrize("parts", [1, 2, 3])
@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_long_commands_and_replies_travel_in_parts(session, parts, extra):
    text = "x" * (parts * PART_SIZE + extra - 2)
    code = repr(text).encode()
    reply = session.request("eval", code)
    assert reply.data == code
    assert reply.parts == len(split(code))


def test_an_empty_command_is_one_message():
    assert split(b"") == [mqwire.header(0, True)]


def test_a_command_may_be_as_long_as_a_board_takes_it():
    for size in (mqwire.MAX_BODY - 1, mqwire.MAX_BODY):
        parts = split(bytes(size))
        assert sum(len(part) - mqwire.HEADER_SIZE for part in parts) == size
        assert max(map(len, parts)) == mqwire.MAX_PAYLOAD
    with pytest.raises(UsageError, match=r"16,385 B are too many .* 16,384 B is the most"):
        split(bytes(mqwire.MAX_BODY + 1))


@pytest.mark.parametrize("last", [mqwire.MAX_SEQ - 1, mqwire.MAX_SEQ, mqwire.MAX_SEQ + 1, 70_000])
def test_a_reply_may_have_more_parts_than_there_are_numbers(session, last):
    with session.open("eval") as exchange:
        for part in range(last + 1):
            exchange._on_reply(mqwire.header(part, part == last) + b"%d" % part, False)
            if part == 40_000:  # one that comes twice
                exchange._on_reply(mqwire.header(part, False) + b"again", False)
        assert [int(part) for part in exchange.parts(1)] == list(range(last + 1))


@pytest.mark.parametrize("lost", [0, 1, mqwire.MAX_SEQ, mqwire.MAX_SEQ + 1])
def test_a_part_that_is_lost_is_noticed_whatever_its_number(session, lost):
    with session.open("eval") as exchange:
        for part in range(lost + 2):
            if part != lost:
                exchange._on_reply(mqwire.header(part, False), False)
        with pytest.raises(BoardError, match="lost on the way"):
            list(exchange.parts(1))


@pytest.mark.parametrize("tail", ["a" * 256, "ü" * 128, "/a+b", "/a#", "/a\nb"])
def test_a_tail_that_a_topic_cannot_hold_is_not_sent(session, tail):
    with pytest.raises(UsageError, match="cannot be sent to a board: it has"):
        session.open("get", tail)


def test_an_empty_reply_is_a_reply(session):
    assert session.request("eval", b"pass").data == b""


def test_a_traceback_is_a_board_error(session):
    with pytest.raises(BoardError, match="ZeroDivisionError"):
        session.request("eval", b"1/0")


def test_an_unknown_command_is_a_board_error(session):
    with pytest.raises(BoardError, match="not supported"):
        session.request("nonsense")


def answer_with(*replies):
    """Answer any command with (sequence, last, data) messages; a string makes an error."""

    def answer(command, ident, body):
        for reply in replies:
            if isinstance(reply, str):
                yield "p/mqb/reply/err/" + ident, reply.encode()
            elif isinstance(reply, bytes):
                yield "p/mqb/reply/out/" + ident, reply
            else:
                seq, last, data = reply
                yield "p/mqb/reply/out/" + ident, mqwire.header(seq, last) + data

    return answer


@pytest.fixture
def scripted(session, board):
    """Give a function that has the board answer with given messages and returns the reply."""

    def ask(*replies, **options):
        script = answer_with(*replies)
        board.answer = lambda command, ident, body: [
            (board.prefix + topic[1:], payload) for topic, payload in script(command, ident, body)
        ]
        return session.request("eval", b"", **options).data

    return ask


def test_duplicates_are_dropped(scripted):
    assert (
        scripted(
            (0, False, b"a"), (0, False, b"a"), (1, False, b"b"), (0, False, b"a"), (2, True, b"c")
        )
        == b"abc"
    )


def test_what_has_overtaken_others_waits_for_them(scripted):
    """The last message is sent at QoS 1, and those before it at QoS 0."""
    assert scripted((2, True, b"c"), (1, False, b"b"), (0, False, b"a")) == b"abc"


def test_a_gap_is_an_error(scripted):
    with pytest.raises(BoardError, match="Part 1 .* lost"):
        scripted((0, False, b"a"), (2, True, b"c"))


def test_the_single_message_header_is_understood(scripted):
    assert scripted(mqwire.SINGLE + b"whole") == b"whole"


def test_a_reply_without_a_header_is_not_a_reply(scripted):
    assert scripted(b"", b"x", (0, True, b"good")) == b"good"


def test_an_error_after_some_output_is_an_error(scripted):
    with pytest.raises(BoardError, match="boom"):
        scripted((0, False, b"a"), "boom")


def test_an_error_without_a_text_still_says_something(scripted):
    with pytest.raises(BoardError, match="without a word"):
        scripted("")


def endless(board, message):
    """Make the board answer with message(number), for ever (or until the end of the test)."""
    stopped = threading.Event()

    def answer(command, ident, body):
        topic = mqwire.reply_topic(board.prefix, ident)
        for number in range(mqwire.MAX_SEQ):
            if stopped.wait(0.001):
                return
            yield topic, message(number)

    board.answer = answer
    return stopped


@pytest.mark.parametrize(
    "message",
    [
        lambda number: mqwire.header(number, False) + b".",
        lambda number: mqwire.header(0, False),
        lambda number: b"",
    ],
    ids=["parts", "duplicates", "no replies"],
)
def test_a_reply_that_does_not_end_is_an_error(session, board, message):
    stopped = endless(board, message)
    start = time.monotonic()
    with pytest.raises((BoardError, SilentBoardError), match="does not end|No answer"):
        session.request("info", timeout=0.2)
    assert time.monotonic() - start < 20
    stopped.set()


def test_a_reply_that_is_too_large_is_an_error(session, board):
    stopped = endless(board, lambda number: mqwire.header(number, False) + bytes(PART_SIZE))
    with pytest.raises(BoardError, match="does not end: .* 1,048,576 B is the most"):
        session.request("info")
    stopped.set()


def test_what_a_board_says_of_itself_is_heard_though_it_is_no_utf8(session, board):
    # As MicroPython writes half a character, in the reason why an update failed.
    board.answer = lambda command, ident, body: [
        (mqwire.reply_topic(board.prefix, ident), mqwire.SINGLE + b'{"failed": "\xed\xa0\x80"}')
    ]
    assert session.request_json("info") == {"failed": "\ufffd" * 3}
    status = b'{"state": "online", "failed": "\xed\xa0\x80"}'
    session.connection.publish(mqwire.status_topic(board.prefix), status)
    assert session.wait_status(lambda found: found["failed"] == "\ufffd" * 3, 20)


def test_a_stream_yields_parts_before_the_end(session, board):
    arrived = threading.Event()

    def answer(command, ident, body):
        topic = mqwire.reply_topic(board.prefix, ident)
        yield topic, mqwire.header(0, False) + b"first"
        assert arrived.wait(5)
        yield topic, mqwire.header(1, True) + b"second"

    board.answer = answer
    stream = session.stream("eval")
    assert next(stream) == b"first"
    arrived.set()
    assert list(stream) == [b"second"]


def test_json_is_parsed_and_never_evaluated(session, board):
    assert session.request_json("info")["board"] == "sim"
    for answer in (b"__import__('os')", b"[1]", b"{", b"[" * 4000, b"\xff"):
        board.answer = lambda command, ident, body, answer=answer: [
            (mqwire.reply_topic(board.prefix, ident), mqwire.SINGLE + answer)
        ]
        with pytest.raises(BoardError, match="JSON"):
            session.request_json("info")


def test_several_hosts_do_not_mix_their_replies(settings, board):
    def ask(number, results):
        with Session(settings) as session:
            for index in range(20):
                results.append(session.request("eval", b"%d*1000+%d" % (number, index)).data)

    results = [[] for _ in range(3)]
    threads = [threading.Thread(target=ask, args=(number, results[number])) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    for number, found in enumerate(results):
        assert found == [b"%d" % (number * 1000 + index) for index in range(20)]


# Silence


def test_a_wrong_prefix_says_that_nobody_is_there(settings):
    with Session(settings) as session, pytest.raises(SilentBoardError, match="Is the prefix right"):
        session.request("eval", b"1", timeout=0.3)


def test_nothing_is_sent_before_it_is_known_which_board_is_there(settings, board, monkeypatch):
    board.facts["id"] = "another"
    board.power_cycle()
    heard = Session._on_status

    def late(self, payload, retained):
        time.sleep(0.3)  # in the network thread: whatever else comes is later still
        heard(self, payload, retained)

    monkeypatch.setattr(Session, "_on_status", late)
    with (
        Session(replace(settings, id="mine")) as session,
        pytest.raises(RefusedError, match="Nothing was sent"),
    ):
        session.request("eval", b"1")
    assert board.requests == []


def test_an_offline_board_is_said_to_be_offline(settings, board):
    board.power_off()
    with Session(settings) as session:
        assert session.status()["state"] == "offline"
        with pytest.raises(SilentBoardError, match="the board is offline"):
            session.request("eval", b"1", timeout=0.3)


@pytest.fixture
def noted(settings):
    """Give noted(**settings) -> (session, notes): how long an absent board is waited for counts."""
    with contextlib.ExitStack() as stack:

        def make(**options):
            notes = []
            changed = replace(settings, **{"patient": False} | options)
            return stack.enter_context(Session(changed, note=notes.append)), notes

        yield make


def say_offline(board, **facts):
    """Have the broker hold that `board` is offline, as it says itself or its will."""
    board.power_off(will=False)
    board.power_on()
    assert board._up.wait(10)
    said = json.dumps({"state": "offline", "reason": "reset command"} | facts)
    board._client.publish(mqwire.status_topic(board.prefix), said, 1, True).wait_for_publish(5)
    board._client.unsubscribe(mqwire.status_topic(board.prefix))


def test_who_is_away_is_told_long_before_the_timeout(noted, board):
    board.power_off()
    session, notes = noted(timeout=600)
    with pytest.raises(SilentBoardError, match="is offline"):
        session.request("eval", b"1")
    session, _ = noted(timeout=600, prefix=f"{board.prefix}/typo")
    with pytest.raises(SilentBoardError, match="announces nothing is waited for with --timeout"):
        session.request("eval", b"1")
    assert notes == []


def test_a_board_that_is_called_offline_by_mistake_is_reached(noted, board):
    say_offline(board)
    session, notes = noted(timeout=600)
    assert session.request("eval", b"6*7").data == b"42"
    assert session.last_status["state"] == "offline"
    assert notes == []


def test_a_board_that_announces_nothing_is_reached(noted, board):
    board._client.publish(mqwire.status_topic(board.prefix), b"", 1, True).wait_for_publish(5)
    session, notes = noted(timeout=600)
    assert session.request("eval", b"6*7").data == b"42"
    assert (session.last_status, notes) == (None, [])


@pytest.mark.parametrize(
    ("facts", "options"),
    [({}, {"patient": True}), ({"boot_id": "boot-1"}, {}), ({"boot_id": "boot-1", "at": 0}, {})],
    ids=["somebody said how long", "it restarts", "it restarts, and knows no time"],
)
def test_a_board_that_may_come_is_waited_for_and_gets_the_command(noted, board, facts, options):
    say_offline(board, **facts)
    board.power_off(will=False)
    session, notes = noted(timeout=600, **options)

    def come_back():
        wait_until(lambda: notes)
        board.power_on()

    back = threading.Thread(target=come_back)
    back.start()
    assert session.request("eval", b"6*7").data == b"42"
    back.join(10)
    assert board.evaluations == 1
    assert notes == [f"{board.prefix} is offline (reset command). Waiting for it, up to 600 s."]


def test_a_board_that_left_long_ago_is_not_waited_for(noted, board):
    say_offline(board, boot_id="boot-1", at=1_700_000_000)
    board.power_off(will=False)
    session, notes = noted(timeout=600)
    with pytest.raises(SilentBoardError, match="offline since 2023-11-14 22:13 UTC .reset comm"):
        session.request("eval", b"1")
    assert notes == []


def test_who_does_not_come_in_the_time_that_somebody_gave_is_silent(noted, board):
    board.power_off()
    session, notes = noted(timeout=1, patient=True)
    with pytest.raises(SilentBoardError, match="within 1 s: the board is offline"):
        session.request("eval", b"1")
    assert len(notes) == 1


def test_a_board_that_has_answered_is_waited_for_though_it_goes_offline(noted, board):
    session, notes = noted(timeout=600)
    session.request("eval", b"1")
    board.power_off()
    assert session.wait_status(lambda status: status["state"] == "offline", 20)
    exchange = session.open("eval")
    with exchange:
        exchange.send(b"6*7")  # is no error
        board.power_on()
        assert exchange.receive(30).data == b"42"
    assert notes == []


def test_a_busy_board_is_said_to_be_online(session, board):
    board.silent.add("eval")
    with pytest.raises(SilentBoardError, match="says online"):
        session.request("eval", b"1", timeout=0.3)


# Status


def test_the_retained_status_is_there(session, board):
    assert session.status() == board.status()


def test_no_status_is_none(settings, monkeypatch):
    monkeypatch.setattr("mqhost.link.session._RETAINED_TIMEOUT", 0.2)
    with Session(settings) as session:
        assert session.status() is None


@pytest.mark.parametrize("payload", [b"{", b"[]", b"\xff", b"[" * 100_000])
def test_a_broken_status_is_no_status(session, board, payload):
    session.status()
    seen = threading.Event()
    session.watch_status(lambda status: seen.set())
    board._client.publish(mqwire.status_topic(board.prefix), payload, 1, True)
    assert seen.wait(5)
    assert session.last_status is None


def test_waiting_for_a_status(session, board):
    assert session.wait_status(lambda status: status.get("mode") == "safe", 0.05) is None
    board.facts["mode"] = "safe"
    board.announce()
    assert session.wait_status(lambda status: status.get("mode") == "safe", 5)["mode"] == "safe"


# The broker


def test_no_broker_is_a_broker_error():
    with pytest.raises(BrokerError, match="Nothing listens on 127.0.0.1"):
        Session(Settings(port=free_port(), prefix="a", tls=False)).connection.connect()


def test_an_unknown_server_is_named():
    with pytest.raises(BrokerError, match="no server named nowhere.invalid"):
        Session(Settings(server="nowhere.invalid", prefix="a")).connection.connect()


def test_a_port_that_is_no_broker_is_said_to_be_none():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def hang_up():
            listener.accept()[0].close()

        threading.Thread(target=hang_up).start()
        settings = Settings(port=listener.getsockname()[1], prefix="a")
        with pytest.raises(BrokerError, match="closed the connection before"):
            Session(settings).connection.connect()


def test_tls_to_a_port_without_it_says_so(broker):
    settings = Settings(port=broker.port, prefix="a", tls=True)
    with pytest.raises(BrokerError, match="--no-tls"):
        Session(settings).connection.connect()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """Make a self-signed certificate for localhost: (certificate, key)."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    files = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
        + ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
        + ["-out", str(files[0]), "-keyout", str(files[1])],
        check=True,
        capture_output=True,
    )
    return files


@pytest.fixture
def secure(certificates):
    with Broker(extra=[f"certfile {certificates[0]}", f"keyfile {certificates[1]}"], tls=True) as b:
        yield b


def test_tls_works_with_the_right_ca_and_name(secure, certificates):
    settings = Settings(
        server="localhost", port=secure.port, prefix="a", tls=True, ca=str(certificates[0])
    )
    with Session(settings) as session:
        assert session.connection.connected


def test_a_certificate_nobody_signed_is_not_trusted(secure):
    settings = Settings(server="localhost", port=secure.port, prefix="a", tls=True)
    with pytest.raises(BrokerError, match="certificate we don't trust.*--ca"):
        Session(settings).connection.connect()


def test_a_certificate_for_another_name_is_not_trusted(secure, certificates):
    settings = Settings(port=secure.port, prefix="a", tls=True, ca=str(certificates[0]))
    with pytest.raises(BrokerError, match="certificate we don't trust.*--server"):
        Session(settings).connection.connect()


def test_no_tls_to_a_port_with_it_says_so(secure):
    settings = Settings(port=secure.port, prefix="a")
    with pytest.raises(BrokerError, match="--tls"):
        Session(settings).connection.connect()


def test_a_ca_file_that_is_none_is_named(tmp_path):
    with pytest.raises(BrokerError, match="CA file .*nothing.pem"):
        Session(Settings(prefix="a", tls=True, ca=str(tmp_path / "nothing.pem")))


def test_a_refused_subscription_is_not_silence(tmp_path):
    rules = tmp_path / "acl"
    rules.write_text("topic read nothing/#\n")
    # mosquitto 2.0 grants every subscription and only holds messages back, so this is silence.
    with Broker(extra=[f"acl_file {rules}"]) as closed:
        settings = Settings(port=closed.port, prefix="a")
        with Session(settings) as session, pytest.raises((BrokerError, SilentBoardError)):
            session.request("eval", timeout=0.3)


@pytest.fixture
def own():
    """Run a broker of its own, for tests that stop it."""
    with Broker(free_port()) as running:
        yield running


def test_the_session_survives_a_restart_of_the_broker(own):
    with (
        FakeBoard(own.port) as board,
        Session(Settings(port=own.port, prefix=board.prefix, timeout=10)) as session,
    ):
        assert session.request("eval", b"1").data == b"1"
        own.restart()
        assert session.connection.wait_connected(10)
        assert session.wait_status(lambda status: status["state"] == "online", 10)
        assert session.request("eval", b"2").data == b"2"


def test_a_command_lost_with_the_broker_is_sent_again_under_its_id(own):
    with (
        FakeBoard(own.port) as board,
        Session(Settings(port=own.port, prefix=board.prefix, timeout=15)) as session,
    ):
        session.status()
        board.silent.add("eval")
        results = []
        thread = threading.Thread(
            target=lambda: results.append(session.request("eval", b"6*7").data)
        )
        thread.start()
        wait_until(lambda: board.requests)
        lost = board.requests[0]
        board.silent.clear()
        board._recent.clear()
        board.requests.clear()
        own.restart()
        thread.join(20)
        assert results == [b"42"]
        assert set(board.requests) == {lost}


def test_a_command_given_while_the_broker_is_away_is_carried_out_later(own):
    with (
        FakeBoard(own.port) as board,
        Session(Settings(port=own.port, prefix=board.prefix, timeout=15)) as session,
    ):
        session.status()
        with session.open("eval") as exchange:
            own.stop()
            wait_until(lambda: not session.connection.connected)
            exchange.send(b"6*7")
            own.start()
            assert list(exchange.parts(15)) == [b"42"]
        assert session.request("eval", b"1").data == b"1"


def test_a_command_is_not_repeated_for_a_board_that_restarted(session, board):
    session.status()
    board.silent.add("eval")
    with session.open("eval") as exchange:
        exchange.send(b"1")
        wait_until(lambda: board.requests)
        board._recent.clear()
        board.power_cycle()
        assert session.wait_status(lambda status: status.get("boot_id") == "boot-2", 20)
        assert exchange.receive(0.3) is None
    assert len(board.requests) == 1


def test_a_broker_that_stays_away_is_a_broker_error(own):
    with (
        FakeBoard(own.port) as board,
        Session(Settings(port=own.port, prefix=board.prefix, timeout=0.5)) as session,
    ):
        board.silent.add("eval")
        with session.open("eval") as exchange:
            exchange.send(b"1")
            own.stop()
            with pytest.raises(BrokerError, match="lost"):
                list(exchange.parts(0.5))


def test_closing_twice_and_without_connecting_is_harmless(settings):
    session = Session(settings)
    session.connection.close()
    with session:
        pass
    session.connection.close()


def test_closing_does_not_wait_for_a_broker_that_hangs(own):
    with Session(Settings(port=own.port, prefix="a")):
        own._process.send_signal(19)
        start = time.monotonic()
    own._process.send_signal(18)
    assert time.monotonic() - start < 20


def test_tcp_delay_is_off(session):
    stream = session.connection._client.socket()
    assert stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_the_traffic_can_be_watched(settings, board):
    lines = []
    with Session(settings, debug=lines.append) as session:
        session.request("eval", b"1")
    assert any("mqb/cmd/eval" in line for line in lines)


def test_two_sessions_with_one_board_over_one_connection_hear_it_both(settings, board, session):
    with Session(settings, connection=session.connection) as second:
        assert second.request("eval", b"1+1").data == b"2"
        assert session.status()["boot_id"] == second.status()["boot_id"] == "boot-1"
    board.power_cycle()
    back = session.wait_status(lambda status: status.get("boot_id") == "boot-2", 20)
    assert back, "when the second one ended, the first heard nothing any more"
    assert session.request("eval", b"45+876").data == b"921"
