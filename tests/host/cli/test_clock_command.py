"""Tests `mqboard clock`: what is told of a board's time, and setting it."""

import json
import time

import pytest
from commandline import command_line, here
from fakeboard import FakeBoard


class Timed(FakeBoard):
    """A board whose clock is `ahead` seconds ahead of ours; it can be set."""

    ahead = -3600
    source = "build time"

    def _do_info(self, ident, body):
        trusted = self.source == "operator"
        self.facts["clock"] = {
            "time": round(time.time()) + self.ahead,
            "trusted": trusted,
            "source": self.source,
        }
        super()._do_info(ident, body)

    def _do_clock(self, ident, body):
        self.ahead, self.source = int(body) - round(time.time()), "operator"
        self.reply(ident, b"OK")


@pytest.fixture
def timed(broker, prefix):
    with Timed(broker.port, prefix) as running:
        yield running


@pytest.fixture
def clock(broker, prefix, capsys):
    def run(*arguments):
        line = command_line(broker.port, prefix, "clock", *arguments)
        return here(capsys, line)

    return run


def test_it_tells_the_time_and_by_how_much_it_is_off(clock, timed):
    process = clock()
    assert (process.returncode, process.stderr) == (0, "")
    assert " UTC, not trusted (build time), 3," in process.stdout
    assert process.stdout.endswith(" s behind this machine\n")
    timed.ahead = 90
    assert " s ahead of this machine" in clock().stdout
    told = json.loads(clock("--json").stdout)
    assert abs(told["ahead_s"] - 90) <= 2
    assert (told["trusted"], told["source"]) == (False, "build time")


def test_it_is_set_to_our_time(clock, timed):
    told = json.loads(clock("--set", "--json").stdout)
    assert abs(told["ahead_s"]) <= 2
    assert (told["trusted"], told["source"]) == (True, "operator")


def test_older_firmware_tells_no_time(clock, board):
    for arguments, words in (((), "needs newer firmware"), (("--set",), "not supported")):
        process = clock(*arguments)
        assert process.returncode == 1 and words in process.stderr
