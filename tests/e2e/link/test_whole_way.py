"""Tests every limit the whole way: what is let in works with all commands, the rest is refused."""

import json
import queue
import subprocess
import sys
from dataclasses import replace

import pytest

import mqwire
from mqhost.cli.terminal.questions import Questions
from mqhost.errors import UsageError
from mqhost.link.boardconfig import Wish
from mqhost.link.connection import Subscription
from mqhost.link.session import Session
from mqhost.link.settings import Settings
from mqhost.paths import FROZEN, ROOT
from mqhost.sim.device import Device
from mqhost.usb.flashing import flash
from mqhost.usb.provision import Provision
from mqhost.usb.provision import provision as write_filesystem
from mqwire.config import MAX_SSID, PASSPHRASE

ALIEN = "工場/ライン1/😀/"
LONGEST = ALIEN + "n" * (mqwire.MAX_PREFIX - len(ALIEN.encode()))
PREFIXES = ["küche/licht 1", LONGEST]
# What firmware had before both ends shared a rule: ASCII, and 200 bytes at the most.
OLD_RULE = """
def _check_blocks_topic(topic, prefix):
    if len(topic) > 200 or not all([32 <= byte < 127 for byte in topic.encode()]):
        raise ValueError("topic")
    own = topic.startswith(prefix + "/mqb/blocks/")
    if not (own or "/mqb/blocks/" in topic and not topic.startswith(prefix + "/")):
        raise ValueError("topic")
"""


def provision(chip, prefix, broker):
    """Run `invoke provision` on a simulated chip; returns (exit code, what it printed)."""
    server = f"{broker.host}:{broker.port}"
    config = chip.with_name("config.json")
    config.write_text('{"update": {"health_s": 0.5}}')
    options = ["--board", "sim", "--port", f"sim:{chip}", "--config", str(config), "--no-tls"]
    result = subprocess.run(
        [sys.executable, "-m", "invoke", "provision", *options]
        + ["--ssid", "simnet", "--server", server, "--prefix", prefix],
        cwd=ROOT,
        env={"MQBOARD_WIFI_PASSWORD": "simpassword", "PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    return result.returncode, result.stdout


@pytest.mark.parametrize("prefix", PREFIXES, ids=["umlaut", "longest"])
def test_what_may_be_a_prefix_works_with_every_command(
    make_board, sim, firmware, variant, broker, tmp_path, prefix
):
    chip = tmp_path / "chip.flash"
    flash(sim, f"sim:{chip}", folder=firmware.folder)
    code, said = provision(chip, prefix, broker)
    assert code == 0, said
    # A command of the greatest length takes its memory in one piece, three times over.
    board = make_board(path=chip, prefix=prefix, heap="1m")
    board.wait_confirmed()
    code, out, err = board.mqboard("status", "--json")
    assert (code, json.loads(out)["board"]) == (0, "sim"), err
    assert board.mqboard("eval", "45+876") == (0, "921\n", "")
    assert board.mqboard("info")[0] == 0
    with board.session() as session:  # in messages that are as large as a message can be
        assert session.request("eval", b"7".ljust(mqwire.MAX_BODY)).data == b"7"
        code = (
            "import asyncio\nasync def chat():\n while 1: print('hé'); await asyncio.sleep(0.1)\n"
        )
        session.request("eval", (code + "chatter = asyncio.create_task(chat())").encode())
    code, out, _ = board.mqboard("log", "--lines", "5")  # the board itself may say something, too
    assert code == 0 and out.count("hé\n") > 1
    code, out, err = board.mqboard("ota", "--image", variant("2.0.0").app)
    assert code == 0, err
    assert "→ 2.0.0, confirmed in slot ota_1" in out


def test_one_byte_more_is_refused_before_anything_is_written(make_board, broker, tmp_path):
    board = make_board()
    chip = tmp_path / "chip.flash"
    for prefix, words in (
        (LONGEST + "n", "201 bytes in UTF-8; 200 is the most"),
        ("küche/licht\u200b1", "U+200B"),
    ):
        code, said = provision(chip, prefix, broker)
        assert code == 2 and words in said
        board.prefix = prefix
        for command in (["status"], ["eval", "1"], ["ota"]):
            code, _, said = board.mqboard(*command)
            assert code == 2 and words in said
    # For commands that can be for many boards it is a pattern.
    code, said = provision(chip, "küche/+", broker)
    assert code == 2 and "+ in it" in said
    board.prefix = "küche/+"
    code, _, said = board.mqboard("ota")
    assert code == 2 and "can be many boards" in said
    assert not chip.exists()


@pytest.mark.parametrize("prefix", PREFIXES, ids=["umlaut", "longest"])
def test_firmware_with_the_old_rule_for_topics_is_updated_too(make_board, variant, prefix):
    text = (FROZEN / "mqboard/update/offer.py").read_text() + OLD_RULE
    board = make_board(variant("0.9", {"mqboard/update/offer.py": text}), prefix=prefix)
    board.wait_confirmed()
    code, out, err = board.mqboard("ota", "--image", variant("2.0.0").app)
    assert code == 0, err
    assert "→ 2.0.0, confirmed in slot ota_1" in out


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_a_command_of_the_greatest_sizes_arrives_and_a_greater_one_is_none(make_board, more):
    board = make_board(prefix=LONGEST)
    board.wait_online()
    name, tail = "c" * mqwire.MAX_NAME, "t" * (mqwire.MAX_TAIL + more)
    with board.session() as session:
        answers = queue.SimpleQueue()
        topics = [mqwire.error_topic(board.prefix, name), mqwire.reply_topic(board.prefix, "after")]
        routes = {topic: lambda _, __, topic=topic: answers.put(topic) for topic in topics}
        session.connection.subscribe(Subscription(routes))
        topic = mqwire.command_topic(board.prefix, name, name, tail)
        assert len(topic.encode()) == mqwire.MAX_TOPIC + more
        session.connection.publish(topic, mqwire.SINGLE.ljust(mqwire.MAX_PAYLOAD, b"x"))
        after = mqwire.command_topic(board.prefix, "ping", "after")
        session.connection.publish(after, mqwire.SINGLE)
        first = answers.get(timeout=20)
    assert first == topics[more > 0]  # "not supported", or no answer


def test_the_longest_network_name_and_password_in_bytes_are_joined(
    sim, firmware, broker, tmp_path, monkeypatch
):
    ssid, password = "é" * (MAX_SSID // 2), "é" * (PASSPHRASE[1] // 2) + "p"
    monkeypatch.setenv("MQBOARD_WIFI_PASSWORD", password)
    wish = Wish(ssid, f"{broker.host}:{broker.port}", "e2e/longest", tls=False)
    secret = Questions(None, None).secret
    chip = tmp_path / "chip.flash"
    flash(sim, f"sim:{chip}", folder=firmware.folder)
    write_filesystem(sim, Provision.make(wish, secret=secret), f"sim:{chip}")
    table = sim.table
    settings = Settings(server=broker.host, port=broker.port, prefix="e2e/longest")
    device = Device(chip, table=table, networks={ssid: password})
    with device, Session(settings) as session:
        device.wait_for(lambda _: session.births, 30, "its birth")
    with pytest.raises(UsageError, match="33 bytes; 1 to 32"):
        Provision.make(replace(wish, ssid=ssid + "n"), secret=secret)
    monkeypatch.setenv("MQBOARD_WIFI_PASSWORD", password + "p")
    with pytest.raises(UsageError, match="64 bytes; Wi-Fi takes 8 to 63"):
        Provision.make(wish, secret=secret)
