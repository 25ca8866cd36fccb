"""Tests what an operator does with boards at a broker that mqboard broker-config made, and what
becomes of boards when the folder is changed."""

import json
import ssl
from dataclasses import replace

import pytest
from madebroker import BOOT, MadeBroker
from waiting import wait_until

from mqhost.errors import ToolError
from mqhost.link.session import Session
from mqhost.sim.broker import HOST

USERS = """
[[boards]]
prefix = "farm/pump"
[[boards]]
prefix = "farm/gate"
login = "password"
auth = true
[[operators]]
name = "repl"
roles = ["repl"]
[[operators]]
name = "update"
roles = ["update"]
login = "password"
[[operators]]
name = "logs"
roles = ["logs"]
"""
WITHOUT_BOARDS = USERS[USERS.index("[[operators]]") :]


@pytest.fixture
def made(tmp_path, request):
    with MadeBroker(tmp_path, USERS, **getattr(request, "param", {})) as running:
        yield running


@pytest.fixture
def start(made, sim, firmware):
    """Give start(name, prefix) -> Device of that board, online."""
    return lambda name, prefix: made.boot(sim, firmware, name, prefix)


def test_a_day_with_a_board(made, start, variant, tmp_path):
    """Code, log, configuration, restart, and firmware there and back, each as who may."""
    device = start("farm-pump", "farm/pump")
    pump = ("--prefix", "farm/pump", "-T", "30")
    assert made.mqboard("repl", *pump, "eval", "45+876") == (0, "921\n", "")

    reading = made.start_mqboard("logs", *pump, "log", "--lines", "1", "--min-level", "error")
    say = b"from mqboard.log import Logger; Logger('test').error('dry')"
    with made.session("repl", "farm/pump") as session:
        wait_until(lambda: session.request("eval", say) and reading.poll() is not None, BOOT)
    out, err = reading.communicate()
    assert "test: dry" in out, err

    file = tmp_path / "board.json"
    code, out, err = made.mqboard("repl", *pump, "config", "get", "--json")
    assert code == 0, err
    config = json.loads(out)
    assert config["broker"]["key"] == "/certs/key.pem"
    file.write_text(json.dumps(config | {"log": {"level": "debug"}}))
    code, out, err = made.mqboard("repl", *pump, "config", "push", file)
    assert code == 0, (out, err, device.console.tail())

    code, out, err = made.mqboard("repl", *pump, "reset")
    assert code == 0, (out, err)

    new = variant("2.0.0")
    with made.session("repl", "farm/pump") as session:
        confirmed = ("valid", "undefined")
        assert session.wait_status(lambda status: status["slot_state"] in confirmed, BOOT)
    code, out, err = made.mqboard("update", *pump, "ota", "--image", new.app)
    assert code == 0 and "2.0.0, confirmed in slot ota_1" in out, (out, err)
    code, out, err = made.mqboard("update", *pump, "rollback")
    assert code == 0 and "is back at" in out, (out, err)
    words = ("fleet", "rollout", new.app, "farm/pump", "--settle", "1s", "--yes", "--database")
    code, out, err = made.mqboard("update", *words, tmp_path / "fleet.db")
    assert code == 0 and "1 board: 1 done." in out, (out, err)


def test_boards_that_are_gone_are_shut_out_by_a_reload(made):
    """A new connection is refused, and what stands already is deaf and dumb."""
    with made.client("farm-pump") as pump, made.client("repl") as watcher:
        gate = made.client("farm-gate").__enter__()
        old = {name: made.credentials(name) for name in ("farm-pump", "farm-gate")}
        files = {name: made.keep(settings) for name, settings in old.items()}
        pump.publish("farm/pump/mqb/status", b"{}", retain=True)
        pump.subscribe("farm/pump/#")
        wait_until(lambda: pump.heard)
        pump.heard.clear()
        more = '[[boards]]\nprefix = "farm/new"\n'
        made.configure(more + WITHOUT_BOARDS, remove=True)
        made.reload()
        wait_until(lambda: gate.lost)  # its password is gone: thrown out
        for settings in files.values():
            assert made.connect(settings).is_refused()
        with made.client("farm-new") as new:
            watcher.subscribe("+/+/mqb/#")
            pump.publish("farm/pump/mqb/status", b"late")
            watcher.publish("farm/pump/mqb/cmd/eval/x")
            new.publish("farm/new/mqb/end")  # comes behind that
            wait_until(lambda: "farm/new/mqb/end" in watcher.topics())
        heard = [topic for topic in watcher.topics() if topic.startswith("farm/pump")]
        # What it said last is still there, as the documents say, and nothing else.
        assert sorted(heard) == ["farm/pump/mqb/cmd/eval/x", "farm/pump/mqb/status"]
        assert ("farm/pump/mqb/status", b"late") not in watcher.heard
        assert not pump.heard
        assert made.mqboard("repl", "boards", "--forget", "farm/pump")[0] == 0
        gate.close()


def test_a_renewed_certificate_is_used_beside_the_old_one_until_that_is_revoked(made, start):
    """A board in the field is given the new one, as docs/broker.md says, and is never cut off."""
    start("farm-pump", "farm/pump")
    old = made.keep(made.credentials("farm-pump"))
    made.configure(renew=["farm-pump"])
    made.reload()
    own, pump = made.folder / "boards/farm-pump", ("--prefix", "farm/pump")
    with made.client("farm-pump"), made.connect(old):
        pass  # both are let in
    words = ["broker.cert=/certs/2/cert.pem", "broker.key=/certs/2/key.pem"]
    for line in (
        ["mkdir", "-p", ":/certs/2"],
        ["put", own / "cert.pem", own / "key.pem", ":/certs/2/"],
        ["config", "set", *words],
    ):
        code, out, err = made.mqboard("repl", *pump, *line)
        assert code == 0, (line, out, err)
    made.configure(revoke=["farm-pump"])
    made.reload()
    assert made.connect(old).is_refused()
    code, out, err = made.mqboard("repl", *pump, "reset")  # it comes back with the new one
    assert code == 0, (out, err)


def test_a_thief_is_thrown_out_by_the_restart_that_the_report_asks_for(made):
    thief = made.connect(made.keep(made.credentials("farm-pump"))).__enter__()
    report = made.configure(renew=["farm-pump"], revoke=["farm-pump"])
    assert report.restart and report.revoked == ["farm-pump"]
    made.stop()
    wait_until(lambda: thief.lost)
    made.start()
    with made.client("farm-pump"):
        pass
    wait_until(lambda: len(thief.lost) > 1)  # it tries again, and again
    assert len(thief.connected) == 1
    thief.close()


def test_the_brokers_own_certificate_is_renewed_without_anybody_noticing(made, start):
    start("farm-pump", "farm/pump")
    before = _served(made)
    made.configure(renew=["server"])
    made.reload()
    assert _served(made) != before
    pump = ("--prefix", "farm/pump", "-T", "30")
    assert made.mqboard("repl", *pump, "eval", "45+876") == (0, "921\n", "")
    code, out, err = made.mqboard("repl", *pump, "reset")  # it connects anew, to the new one
    assert code == 0, (out, err)


def _served(made):
    """Return the certificate that the broker shows."""
    return ssl.get_server_certificate(("localhost", made.ports[1]))


@pytest.mark.parametrize("made", [{"host": HOST}], indirect=True)
def test_a_broker_that_has_an_address_only_is_verified_all_the_same(made, start):
    start("farm-pump", "farm/pump")
    pump = ("--prefix", "farm/pump", "-T", "30")
    code, out, err = made.mqboard("repl", *pump, "eval", "board.config.verify")
    assert (code, out) == (0, "True\n"), err


def test_a_board_that_wants_a_key_takes_commands_of_those_who_got_it(made, start):
    start("farm-gate", "farm/gate")
    code, out, err = made.mqboard("repl", "--to", "farm-gate", "-T", "30", "eval", "45+876")
    assert (code, out) == (0, "921\n"), err
    without = replace(made.settings("repl", prefix="farm/gate"), auth_keys=())
    with Session(without) as session, pytest.raises(ToolError):
        session.request("eval", b"1")


def test_an_operator_comes_over_a_websocket(made, start):
    start("farm-gate", "farm/gate")
    server = f"wss://localhost:{made.ports[2]}/mqtt"
    code, out, err = made.mqboard("update", "--server", server, "boards", "--json")
    assert code == 0, err
    assert [board["prefix"] for board in json.loads(out)] == ["farm/gate"]


def test_a_board_in_the_field_moves_to_this_broker(made, board):
    """From a broker without TLS, by the commands of docs/broker.md."""
    made.configure(
        made.text + f'[[boards]]\nprefix = "{board.prefix}"\nname = "mover"\n', remove=True
    )
    made.reload()
    own = made.folder / "boards/mover"
    board.wait_settled()
    files = [own / f"{name}.pem" for name in ("ca", "cert", "key")]
    assert board.mqboard("mkdir", "-p", ":/certs/2")[0] == 0
    assert board.mqboard("put", *files, ":/certs/2/")[0] == 0
    words = json.loads((own / "config.json").read_text())["broker"]
    words |= {path.stem: f"/certs/2/{path.name}" for path in files}
    changes = [f"broker.{key}={value}" for key, value in words.items()]
    process = board.command("config", "set", "broker.tls=true", *changes)
    with made.session("repl", board.prefix) as session:
        found = session.wait_status(lambda status: status["state"] == "online", BOOT)
        assert found, board.device.console.tail()
        wait_until(lambda: session.request("eval", b"board.settled").data == b"True", BOOT)
    process.kill()
    process.communicate()
