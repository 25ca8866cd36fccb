"""Prefixes the whole way: provisioned, booted, talked to, updated; or refused with nothing done."""

import json
import subprocess
import sys

import pytest

import mqwire
from mqhost.paths import FROZEN, ROOT
from mqhost.usb.flashing import flash

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
    assert board.mqboard("log", "--lines", "2")[:2] == (0, "hé\nhé\n")
    code, out, err = board.mqboard("ota", "--image", variant("2.0.0").app)
    assert code == 0, err
    assert "→ 2.0.0, confirmed in slot ota_1" in out


def test_one_byte_more_is_refused_before_anything_is_written(make_board, broker, tmp_path):
    board = make_board()
    chip = tmp_path / "chip.flash"
    for prefix, words in (
        (LONGEST + "n", "201 bytes in UTF-8; 200 is the most"),
        ("küche/licht\u200b1", "U+200B"),
        ("küche/+", "+ in it"),
    ):
        code, said = provision(chip, prefix, broker)
        assert code == 2 and words in said
        board.prefix = prefix
        for command in (["status"], ["eval", "1"], ["ota"]):
            code, _, said = board.mqboard(*command)
            assert code == 2 and words in said
    assert not chip.exists()


@pytest.mark.parametrize("prefix", PREFIXES, ids=["umlaut", "longest"])
def test_firmware_with_the_old_rule_for_topics_is_updated_too(make_board, variant, prefix):
    text = (FROZEN / "mqboard/update/offer.py").read_text() + OLD_RULE
    board = make_board(variant("0.9", {"mqboard/update/offer.py": text}), prefix=prefix)
    board.wait_confirmed()
    code, out, err = board.mqboard("ota", "--image", variant("2.0.0").app)
    assert code == 0, err
    assert "→ 2.0.0, confirmed in slot ota_1" in out
