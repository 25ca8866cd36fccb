"""Tests what an update sends: only differences, and after an interruption only what is missing."""

import json

import pytest

from mqhost.paths import FROZEN
from mqhost.signing.offer import load_image
from mqhost.update.push import push
from mqhost.update.transfer import SEND


@pytest.fixture
def changed(variant):
    """Build the firmware with one line more in a function, and its own version."""
    text = (FROZEN / "mqboard" / "net" / "link.py").read_text()
    before, loop, after = text.partition("        while True:\n")
    assert loop
    line = '        self.log.info("looking for a network")\n'
    return variant("2.1.0", {"mqboard/net/link.py": before + line + loop + after})


def test_a_line_more_is_sent_in_three_per_cent(board, firmware, changed):
    offer, app = load_image(changed.app)
    with board.session() as session:
        result = push(session, offer, app)
    assert result.base == firmware.sha256
    assert result.bytes_sent <= 0.03 * len(app)
    assert result.bytes_saved > 0.2 * len(app)
    assert (result.offers, result.blocks_sent) == (1, offer.count)
    assert board.wait_confirmed()["image"] == offer.sha256


def test_full_sends_no_differences(board, changed):
    offer, app = load_image(changed.app)
    with board.session() as session:
        result = push(session, offer, app, full=True)
    assert (result.base, result.bytes_saved) == ("", 0)
    assert 0.3 * len(app) < result.bytes_sent < 0.75 * len(app)


def test_a_killed_ota_is_made_good_with_what_is_missing(make_board, firmware, variant):
    image = variant("2.0.0").app
    arguments = ["ota", "--image", image, "--full", "--json"]
    other = make_board()
    other.wait_online()
    whole = last_event(*other.mqboard(*arguments))["bytes_sent"]
    board = make_board()
    board.wait_online()
    board.device.latency(True)
    process = board.command(*arguments)
    for line in process.stdout:
        event = json.loads(line)
        if event.get("stage") == SEND and 2 * event["done"] >= event["total"]:
            break
    process.kill()
    process.communicate()
    board.device.latency(False)
    done = last_event(*board.mqboard(*arguments))
    assert done["event"] == "done"
    assert done["bytes_sent"] <= 0.55 * whole
    assert board.wait_confirmed()["version"] == "2.0.0"


def last_event(code, out, err):
    assert code == 0, err
    return json.loads(out.splitlines()[-1])
