"""Soaks one real board for some seconds, as invoke bench does it with a hundred times as much."""

import pytest

from ci.chaos.world import Image
from ci.soak import Work, soaking
from mqhost.errors import ToolError

SLACK = 1024  # bytes


@pytest.fixture
def soak(tmp_path, sim, firmware, broker):
    table = sim.table
    with soaking(tmp_path, firmware.flash, table, broker.port) as made:
        yield made


def test_messages_reconnects_and_failing_evals_leave_nothing_behind(soak, firmware):
    image = Image.load(firmware.app)
    growth = soak.run(Work(messages=2000, reconnects=20, evals=20, updates=0), (image, image))
    assert growth.worst <= SLACK


def test_a_leak_is_found_out(soak):
    soak._session.request("eval", b"board.kept = []")
    before = soak._heap()
    soak._session.request("eval", b"board.kept.append(bytearray(2000))")
    assert soak._heap() - before > SLACK


def test_messages_that_do_not_arrive_are_found_out(soak, monkeypatch):
    monkeypatch.setattr("ci.soak._SECONDS", 0.5)
    soak._session.request("eval", b"board.supervisor.find('module soaked').task.cancel()")
    with pytest.raises(ToolError, match="does not get all"):
        soak._send(500, lambda *_: None)
