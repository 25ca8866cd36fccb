"""Tests a mosquitto on what mqboard broker-config made: who gets in, who may read and write what.

Real boards, provisioned with what was made for them, and the real command line of operators with
different roles.
"""

import json
import re
import threading
from dataclasses import replace

import pytest
from certificates import Authority as Foreign
from hass import HomeAssistant
from madebroker import BOOT, MadeBroker
from waiting import wait_until

import mqwire
from mqhost.broker.authority import Authority
from mqhost.fleet.homeassistant.bridge import Bridge
from mqhost.paths import ROOT

LIGHT, PUMP, WELL = "küche/licht 1", "farm/pump", "farm/well"
USERS = f"""
[[boards]]
prefix = "{LIGHT}"
[[boards]]
prefix = "{PUMP}"
login = "password"
[[boards]]
prefix = "farm/spare"
[[boards]]
prefix = "farm/spy"
login = "password"
[[boards]]
prefix = "{WELL}"
login = "psk"
[[operators]]
name = "repl"
roles = ["repl"]
[[operators]]
name = "update"
roles = ["update"]
prefixes = ["küche/#"]
[[operators]]
name = "logs"
roles = ["logs"]
login = "password"
"""

# As docs/homeassistant.md says.
HOUSE = re.search(
    r"```toml\n(.*?)```", (ROOT / "docs/homeassistant.md").read_text("utf-8"), re.DOTALL
)[1]


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    with MadeBroker(tmp_path_factory.mktemp("broker"), USERS + HOUSE) as running:
        yield running


@pytest.fixture(scope="module")
def light(broker, sim, firmware):
    """Run the board with a certificate."""
    return broker.boot(sim, firmware, "küche-licht-1", LIGHT)


@pytest.fixture(scope="module")
def pump(broker, sim, firmware):
    """Run the board with a password."""
    return broker.boot(sim, firmware, "farm-pump", PUMP)


def ask(broker, prefix, code):
    """Evaluate on the board at `prefix`, as who may."""
    with broker.session("repl", prefix) as session:
        return session.request("eval", code.encode()).text


# Boards


@pytest.mark.parametrize("spy", ["farm-spare", "farm-spy"])
def test_a_board_can_neither_read_nor_write_the_topics_of_another(broker, light, pump, spy):
    own = "farm/" + spy.removeprefix("farm-")
    with broker.client(spy) as mallory, broker.client("repl") as watcher:
        watcher.subscribe(f"{own}/mqb/#", f"{PUMP}/mqb/status", f"{LIGHT}/mqb/status")
        mallory.subscribe("#", "+/+/log", f"{PUMP}/mqb/#", f"{LIGHT}/#")
        for victim in (PUMP, LIGHT):
            evil = mqwire.header(0, True) + b"import mqboard; mqboard.evil = 1"
            mallory.publish(mqwire.command_topic(victim, "eval", spy[-3:]), evil)
            mallory.publish(mqwire.status_topic(victim), b'{"state": "offline"}', retain=True)
        mallory.publish(f"{own}/mqb/end")  # comes behind all of that
        wait_until(lambda: f"{own}/mqb/end" in watcher.topics())
        for victim in (PUMP, LIGHT):
            assert ask(broker, victim, "hasattr(__import__('mqboard'), 'evil')") == "False"
        said = [payload for topic, payload in watcher.heard if topic.endswith("/status")]
        assert said and not any(b"offline" in payload for payload in said)
        watcher.publish(f"{own}/end")  # not for who has repl: it is a module's
        watcher.publish(f"{own}/mqb/last")
        wait_until(lambda: f"{own}/mqb/last" in mallory.topics())
        assert {topic for topic in mallory.topics() if not topic.startswith(own)} == set()


def test_what_a_board_that_is_let_in_calls_itself_does_not_matter(broker, light):
    """Its certificate counts, and no user name that it sends."""
    with broker.connect(broker.credentials("farm-spare"), "küche-licht-1") as mallory:
        mallory.subscribe("#", "farm/spare/x")
        assert ask(broker, LIGHT, "1 + 1") == "2"
        mallory.publish("farm/spare/x")
        wait_until(lambda: "farm/spare/x" in mallory.topics())
        assert mallory.topics() == {"farm/spare/x"}


def test_a_board_with_a_pre_shared_key_has_its_topics_until_it_is_given_another(
    broker, sim, firmware
):
    well = broker.boot(sim, firmware, "farm-well", WELL)
    assert ask(broker, WELL, "1 + 1") == "2"
    code, out, err = broker.mqboard("repl", "--prefix", WELL, "config", "get", "--json")
    assert code == 0, err
    psk = {"identity": "farm-well", "key": "<secret broker.psk.key>"}
    assert json.loads(out)["broker"]["psk"] == psk
    broker.configure(renew=["farm-well"])
    broker.reload()
    since = well.console.position
    well.press_reset()
    well.wait_console("the server has another key for the identity farm-well", BOOT, since)
    well.stop()
    code, out, err = broker.mqboard("repl", "boards", "--forget", WELL)
    assert code == 0, out + err


# Who does not get in


def test_a_foreign_or_expired_certificate_is_refused_and_so_is_none(broker, tmp_path):
    good = broker.credentials("farm-spare")
    foreign = Foreign(tmp_path)
    cert, key = foreign.issue("farm-spare")
    ca = Authority(
        (broker.folder / "ca/ca.pem").read_bytes(), (broker.folder / "ca/ca.key").read_bytes()
    )
    expired = ca.issue_client("farm-spare", days=-1)
    (tmp_path / "old.pem").write_bytes(expired.certificate)
    (tmp_path / "old.key").write_bytes(expired.key)
    server = broker.folder / "mosquitto/server.pem"  # of our CA, for another purpose
    for pair in ((cert, key), (tmp_path / "old.pem", tmp_path / "old.key"), (server, server)):
        settings = replace(good, cert=str(pair[0]), key=str(pair[1]))
        assert broker.connect(settings).is_refused(), pair
    assert broker.connect(replace(good, cert="", key="")).is_refused()
    with broker.connect(good):
        pass


def test_who_has_no_password_or_a_wrong_one_is_refused(broker):
    good = broker.credentials("farm-spy")
    for change in ({"password": "x"}, {"username": "farm-pump"}, {"username": "", "password": ""}):
        assert broker.connect(replace(good, **change)).is_refused(), change
    # A user with a certificate has no password, so none is right.
    assert broker.connect(replace(good, username="repl")).is_refused()


def test_an_operator_is_told_that_a_certificate_is_not_accepted(broker, tmp_path):
    cert, key = Foreign(tmp_path).issue("repl")
    arguments = ("--cert", cert, "--key", key, "--server", "localhost", "--port", broker.ports[0])
    ca = ("--ca", broker.folder / "ca/ca.pem", "--tls")
    code, _, err = broker.mqboard("repl", *arguments, *ca, "boards")
    assert code == 3 and "certificate" in err


# Operators


def test_who_reads_logs_does_not_evaluate(broker, light):
    with broker.client("logs") as reader, broker.client("repl") as watcher:
        reader.subscribe("#")
        watcher.subscribe(f"{LIGHT}/mqb/reply/#", f"{LIGHT}/mqb/cmd/#")
        topic = mqwire.command_topic(LIGHT, "eval", "logreader")
        reader.publish(topic, mqwire.header(0, True) + b"import mqboard; mqboard.evil = 2")
        code, _, err = broker.mqboard("logs", "--prefix", LIGHT, "-T", "1", "eval", "1")
        assert code == 4 and "rules" in err
        ask(broker, LIGHT, "print('evaluated')")
        wait_until(lambda: any(b"evaluated" in payload for _, payload in watcher.heard))
        assert ask(broker, LIGHT, "hasattr(__import__('mqboard'), 'evil')") == "False"
        assert topic not in watcher.topics()
        ask(broker, LIGHT, "from mqboard.log import Logger; Logger('test').info('for the log')")
        wait_until(lambda: any(b"for the log" in payload for _, payload in reader.heard))
        # and of all that it heard the statuses and the log only
        ends = {topic.removeprefix(LIGHT).removeprefix(PUMP) for topic in reader.topics()}
        assert ends <= {"/log", "/mqb/status"}


def test_an_operator_has_the_boards_that_its_patterns_name(broker, light, pump):
    code, out, _ = broker.mqboard("update", "boards", "--json")
    assert code == 0 and [board["prefix"] for board in json.loads(out)] == [LIGHT]
    code, out, _ = broker.mqboard("repl", "boards", "--json")
    assert code == 0 and [board["prefix"] for board in json.loads(out)] == [PUMP, LIGHT]


# Which role suffices for what: rows of the table in docs/broker.md, as somebody types them.
EXAMPLES = {
    "boards": ["boards"],
    "boards --forget": ["boards", "--forget", "farm/gone"],
    "clock": ["clock"],
    "clock --set": ["clock", "--set"],
    "config": ["config", "get"],
    "crash": ["crash"],
    "eval": ["eval", "6*7"],
    "fleet info": ["fleet", "info"],
    "fleet list": ["fleet", "list"],
    "info": ["info"],
    "log --levels": ["log", "--levels"],
    "modules": ["modules"],
    "status": ["status"],
}
# Those have tests of their own here: they end the boot, or never end.
ELSEWHERE = {"ota", "rollback", "log", "reset", "adopt", "fleet rollout"}
ORDER = ("logs", "update", "repl")


def documented_roles():
    text = (ROOT / "docs/broker.md").read_text()
    return dict(re.findall(r"^\| `mqboard ([a-z -]+)` \| `(\w+)` \|$", text, re.M))


def test_there_is_an_example_of_each_command_that_needs_less_than_everything():
    needs_less = {line for line, role in documented_roles().items() if role != "repl"}
    assert needs_less <= set(EXAMPLES) | ELSEWHERE


@pytest.mark.parametrize("line", EXAMPLES)
def test_the_role_in_the_documents_suffices_and_a_lesser_one_does_not(broker, light, line):
    role = documented_roles()[line]
    forgetting = "--forget" in line
    if forgetting:
        with broker.client("repl") as client:
            client.publish(mqwire.status_topic("farm/gone"), b'{"state": "offline"}', retain=True)
    lesser = ORDER[: ORDER.index(role)][-1:]
    for who, works in [*((one, False) for one in lesser), (role, True)]:
        options = [] if line.startswith("boards") else ["--prefix", LIGHT]
        code, out, err = broker.mqboard(who, *options, "-T", 20 if works else 1, *EXAMPLES[line])
        gone = forgetting and _is_forgotten(broker)
        assert (gone if forgetting else code == 0) == works, (who, out, err)


def _is_forgotten(broker):
    """Return whether the broker has no status of the board that is no more."""
    with broker.client("repl") as client:
        client.subscribe(mqwire.status_topic("farm/gone"), "farm/spare/mqb/end")
        client.publish("farm/spare/mqb/end")
        wait_until(lambda: "farm/spare/mqb/end" in client.topics())
        return mqwire.status_topic("farm/gone") not in client.topics()


# Home Assistant


def test_home_assistant_can_restart_a_board_and_cannot_command_it(broker, light):
    house = broker.credentials("homeassistant")
    bridge = Bridge(replace(broker.credentials("homebridge"), timeout=20), [LIGHT])
    thread = threading.Thread(target=bridge.run)
    thread.start()
    try:
        with HomeAssistant(settings=house) as hass, broker.session("repl", LIGHT) as session:
            hass.wait(lambda: hass.devices, 60)
            (device,) = hass.devices
            hass.wait(lambda: hass.available(device) and hass.state(device, "uptime_s"), 60)
            boot = session.status()["boot_id"]
            hass.publish(mqwire.command_topic(LIGHT, "reset", "c2Nob2Vu"), mqwire.header(0, True))
            hass.publish(mqwire.status_topic(LIGHT), b'{"state": "offline"}', True)
            assert ask(broker, LIGHT, "board.identity.boot_id") == repr(boot)
            hass.press(device, "restart")
            hass.wait(lambda: "restarted" in (hass.attributes(device)["result"] or ""), 120)
            assert session.last_status["boot_id"] != boot
            hass.remove(device)  # on its page, by the person
            hass.wait(lambda: not hass.devices)
    finally:
        bridge.stop()
        thread.join(30)
