"""Tests the boards of a crowd over a real broker: to the host they are boards as others are."""

import json
import signal
import subprocess
import sys

import pytest
from crowdparts import APP, BASE, Running, push_to
from fakeboard import FakeBoard
from hypothesis import given
from hypothesis import strategies as st
from pushing import offer_for
from waiting import wait_until

import mqwire
from mqhost.errors import BoardError, RefusedError, SilentBoardError, UsageError
from mqhost.fleet.crowd.board import Kind
from mqhost.fleet.crowd.crowd import Plan, clear
from mqhost.fleet.crowd.decode import Image, decode
from mqhost.fleet.crowd.faults import FAULTS, Rates
from mqhost.fleet.crowd.line import Hello, Line, packet, publish_packet
from mqhost.link.connection import Connection
from mqhost.link.roster import Roster
from mqhost.link.session import Session
from mqhost.link.settings import Settings
from mqhost.paths import ROOT
from mqhost.signing.keys import PublicKey
from mqhost.signing.offer import block_count, block_of
from mqhost.update.blocks import Encoder
from mqhost.update.delta import differences
from mqhost.update.failures import RolledBack
from mqwire import update as wire


def test_a_board_tells_of_itself_and_knows_constants(broker, prefix):
    with Running(broker, prefix) as running, running.session() as session:
        assert session.status()["board"] == "sim"
        info = session.request_json("info")
        assert info["slot_state"] == "valid" and info["boot_id"]
        assert session.request("eval", b"(6, 'x')").data == b"(6, 'x')"
        with pytest.raises(BoardError, match="runs no code"):
            session.request("eval", b"6*7")
        with pytest.raises(BoardError, match="Command 'df' not supported"):
            session.request("df")
        boot = info["boot_id"]
        session.request("reset")
        assert session.wait_status(
            lambda it: it["state"] == mqwire.ONLINE and it["boot_id"] != boot, 20
        )


def test_a_command_that_comes_again_is_answered_and_not_done_again(broker, prefix):
    with Running(broker, prefix) as running, running.session() as session:
        before = running.figures.commands
        with session.open("eval") as exchange:
            exchange.send(b"42")
            first = exchange.receive(10)
            exchange.repeat()
            assert exchange.receive(10) == first
        assert running.figures.commands == before + 1


def test_an_update_runs_confirmed_and_the_next_one_is_sent_as_differences(broker, prefix):
    with Running(broker, prefix) as running:
        assert not push_to(running, app=BASE).base
        result = push_to(running, offer_for(APP, version="0.3.0", seq=3), base=BASE)
        assert result.base and result.bytes_sent < len(APP) / 4
        assert running.crowd.boards[0].image.data == APP
    assert running.record["installed"] == running.record["confirmed"] == 2
    assert running.record["again"] == running.record["needless_blocks"] == 0


def test_a_crowd_begins_with_an_image_that_is_at_hand(broker, prefix):
    offer = offer_for(BASE)
    kind = Kind("sim", "esp32", Image(offer.sha256, offer.version, offer.seq, BASE))
    with Running(broker, prefix, kinds=(kind,)) as running:
        assert push_to(running, offer_for(APP, seq=3), base=BASE).bytes_saved


def test_what_is_not_for_a_board_is_refused(broker, prefix):
    with Running(broker, prefix) as running:
        for wrong, code in [
            ({"board": "esp32"}, wire.WRONG_BOARD),
            ({"mcu": "esp32c3"}, wire.WRONG_MCU),
        ]:
            with pytest.raises(RefusedError) as told:
                push_to(running, offer_for(APP, **wrong), force=True)
            assert told.value.code == code
        push_to(running)
        with pytest.raises(RefusedError) as told:
            push_to(running, offer_for(BASE, seq=1), app=BASE)
        assert told.value.code == wire.TOO_OLD


def test_with_keys_only_what_is_signed_is_taken(broker, prefix):
    with Running(broker, prefix, keys=(PublicKey(b"\xff" * 384),)) as running:
        with pytest.raises(RefusedError) as told:
            push_to(running)
        assert told.value.code == wire.UNKNOWN_KEY
        with pytest.raises(RefusedError) as told:
            push_to(running, force=True)
        assert told.value.code == wire.BAD_SIGNATURE


def test_one_that_refuses_does_so_every_time(broker, prefix):
    with Running(broker, prefix, fail=["refuse=1"]) as running:
        for _ in range(2):
            with pytest.raises(RefusedError, match="as it was told to"):
                push_to(running)
    assert running.record["refused"] == 2


def test_one_that_rolls_back_says_so_and_remembers_the_image(broker, prefix):
    with Running(broker, prefix, fail=["rollback=1"]) as running:
        with pytest.raises(RolledBack, match="crashed"):
            push_to(running)
        with pytest.raises(RefusedError, match="has tried this very image"):
            push_to(running)
        with pytest.raises(RolledBack):
            push_to(running, retry_failed=True)
    assert running.record["rolled_back"] == 2 and not running.record["again"]


def test_a_silent_one_is_online_and_answers_nothing(broker, prefix):
    with Running(broker, prefix, fail=["silent=1"]) as running, running.session() as session:
        assert session.status()["state"] == mqwire.ONLINE
        with pytest.raises(SilentBoardError):
            session.request("info", timeout=0.5)


@pytest.mark.parametrize("fault", ["power", "offline"])
def test_what_goes_away_in_the_middle_goes_on_where_it_was(broker, prefix, fault):
    with Running(broker, prefix, fail=[f"{fault}=1"]) as running:
        result = push_to(running)
        assert result.offers > 1
    record = running.record
    assert record["power_cuts" if fault == "power" else "absences"] == 1
    assert record["confirmed"] == 1 and record["blocks"] == block_count(len(APP))


def test_boards_are_back_when_their_broker_is(prefix, tmp_path):
    from mqhost.sim.broker import Broker

    with Broker() as own, Running(own, prefix, boards=20) as running:
        own.stop(hard=True)
        wait_until(lambda: running.crowd.online == 0, 30)
        own.start()
        wait_until(lambda: running.crowd.online == 20, 60)
        assert running.figures.lost == 20


def test_crowds_at_one_broker_leave_each_other_alone(broker, prefix):
    with Running(broker, f"{prefix}/a", 3) as one, Running(broker, f"{prefix}/b", 3) as other:
        for running in (one, other):
            with running.session() as session:
                assert session.request("eval", b"42").data == b"42"
            assert running.crowd.online == 3 and not running.figures.lost


@pytest.mark.parametrize(
    "pattern, why", [("crowd", "no {n}"), ("a//{n}", "empty"), ("a#/{n}", "wildcard")]
)
def test_what_cannot_be_prefixes_is_an_error(pattern, why):
    with pytest.raises(UsageError, match=why):
        Plan(2, pattern).prefixes()


# Faults


def test_faults_are_dealt_in_their_number_and_alike_by_the_same_seed():
    dealt = Rates.parse(["2%", "power=5%"]).deal(1000, 3)
    assert dealt.count("power") == 54 and dealt.count("refuse") == 4
    assert {fault for fault in dealt if fault} == set(FAULTS)
    assert dealt == Rates.parse(["2%", "power=5%"]).deal(1000, 3)
    assert dealt != Rates.parse(["2%", "power=5%"]).deal(1000, 4)


@pytest.mark.parametrize("texts", [["x=1"], ["2 %x"], ["1", "1"], ["refuse=200%"]])
def test_what_is_no_rate_is_an_error(texts):
    with pytest.raises(UsageError):
        Rates.parse(texts)


def test_no_more_can_fail_than_there_are():
    with pytest.raises(UsageError, match="are to fail"):
        Rates.parse(["refuse=6", "power=6"]).deal(10)


# Records


@pytest.mark.parametrize("base", [None, BASE])
def test_every_record_that_the_host_makes_is_decoded(base):
    encoder = Encoder(APP, differences(base, APP) if base else None)
    running = Image("", "", 0, base or b"")
    made = {}
    for message, _ in encoder.messages(range(block_count(len(APP)))):
        at = 0
        while at < len(message):
            number, encoding, start, at = wire.unpack_record(message, at)
            for block in decode(number, encoding, message[start:at], running):
                made[number] = block
                number += 1
    assert made == {number: block_of(APP, number) for number in range(block_count(len(APP)))}


@given(st.sampled_from([wire.RAW, wire.DEFLATE, wire.DELTA, 9]), st.binary(max_size=200))
def test_no_record_does_harm(encoding, data):
    try:
        blocks = decode(0, encoding, data, Image("", "", 0, BASE))
    except ValueError:
        return
    assert all(isinstance(block, bytes) for block in blocks)


# Lines


class Owner:
    def __init__(self):
        self.heard = []

    def on_up(self):
        self.heard.append("up")

    def on_message(self, topic, payload, retained):
        self.heard.append((topic, payload, retained))

    def on_acknowledged(self, ident):
        self.heard.append(ident)

    def on_lost(self, why):
        self.heard.append(why)

    on_failed = on_lost


@given(st.lists(st.integers(1, 400), max_size=8), st.binary(max_size=300))
def test_packets_are_taken_however_they_are_cut(cuts, payload):
    stream = b"\x20\x02\x00\x00" + publish_packet("a/ü", payload, 7, True)
    stream += packet(0x40, b"\x00\x05") + publish_packet("b", b"", 0, False)
    owner = Owner()
    line = Line(owner, Hello("x", 60, "w", b""))
    for cut in cuts:
        line.data_received(stream[:cut])
        stream = stream[cut:]
    line.data_received(stream)
    assert owner.heard == ["up", ("a/ü", payload, True), 5, ("b", b"", False)]


@pytest.mark.parametrize(
    "data",
    [
        b"\x30\xff\xff\xff\xff\x01",
        b"\x30\xff\xff\xff\x7f",
        b"\x30\x01a",
        b"\x32\x04\x00\x01\xff\xff",
    ],
)
def test_what_is_no_mqtt_ends_the_connection(data):
    owner = Owner()
    Line(owner, Hello("x", 60, "w", b"")).data_received(data)
    assert len(owner.heard) == 1 and "no MQTT" in owner.heard[0]


def test_a_broker_that_refuses_is_heard_once():
    owner = Owner()
    Line(owner, Hello("x", 60, "w", b"")).data_received(b"\x20\x02\x00\x05")
    assert owner.heard == ["the broker refused the connection: code 5"]


# The command


def start(broker, *options):
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "mqhost.cli", "--server", broker.host),
            *("--port", str(broker.port), "crowd", "--rate", "1000", *options),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def statuses(broker, pattern):
    settings = Settings(server=broker.host, port=broker.port)
    connection = Connection(settings)
    connection.connect()
    try:
        with Roster(connection, pattern) as roster:
            return roster.settle()
    finally:
        connection.close()


@pytest.mark.parametrize("keep", [False, True])
def test_ctrl_c_ends_it_and_its_statuses_are_removed_unless_kept(broker, prefix, keep):
    process = start(
        broker, "--boards", "30", "--prefix", f"{prefix}/{{n}}", "--json", *["--keep"] * keep
    )
    with process:
        assert "30 of 30 boards are online" in process.stderr.readline()
        assert len(statuses(broker, f"{prefix}/+")) == 30
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    record = json.loads(output)
    assert record["online"] == record["connections"] == 30 and record["rss_bytes"] > 1e6
    left = statuses(broker, f"{prefix}/+")
    assert len(left) == 30 * keep
    if keep:
        connection = Connection(Settings(server=broker.host, port=broker.port))
        connection.connect()
        clear(connection, Plan(30, f"{prefix}/{{n}}"))
        connection.close()
        assert not statuses(broker, f"{prefix}/+")


def test_boards_that_are_ours_have_their_chips(broker, prefix):
    options = "--boards", "2", "--prefix", f"{prefix}/{{n}}", "--type", "sim", "--type", "other"
    with start(broker, *options) as process:
        process.stderr.readline()
        mcus = set()
        for number in (1, 2):
            settings = Settings(server=broker.host, port=broker.port, prefix=f"{prefix}/{number}")
            with Session(settings) as session:
                mcus.add(session.request_json("info")["mcu"])
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert mcus == {"esp32", "other"}


def test_it_does_not_begin_where_boards_are(broker, prefix):
    with FakeBoard(broker.port, f"{prefix}/2"):
        process = start(broker, "--boards", "3", "--prefix", f"{prefix}/{{n}}")
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 2 and f"as {prefix}/2" in errors


def test_one_that_was_killed_is_no_obstacle(broker, prefix):
    options = "--boards", "3", "--prefix", f"{prefix}/{{n}}"
    with start(broker, *options) as process:
        process.stderr.readline()
        process.kill()
    with start(broker, *options, "--seconds", "0.1") as process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0 and "3 of 3" in errors
    assert not statuses(broker, f"{prefix}/+")
