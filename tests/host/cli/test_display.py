"""Tests progress on the console: a bar on a terminal, few plain lines elsewhere."""

import io
import json
import re

import pytest
from rich.console import Console

from mqhost.cli.terminal.display import Display, Events

WORDS = {"send": "Sending [blocks]"}


def shown(terminal):
    console = Console(file=io.StringIO(), force_terminal=terminal, width=100)
    with Display(console, WORDS) as display:
        for done in range(101):
            display.show("send", done, 100)
        display.show("restart", 1, 1)
        assert display.stage == "restart"
    return console.file.getvalue()


def test_a_terminal_gets_a_bar():
    text = shown(True)
    assert "Sending [blocks]" in text
    assert "100/100" in text
    assert "restart" in text


def test_where_sizes_are_known_bytes_and_rate_are_shown():
    for terminal in (True, False):
        console = Console(file=io.StringIO(), force_terminal=terminal, width=140)
        with Display(console, WORDS, {"send": 4096}) as display:
            for done in range(50, 76):
                display.show("send", done, 100)
        text = console.file.getvalue()
        assert "307.2 kB of 409.6 kB" in text
        if not terminal:
            assert re.search(r"75 of 100, 307\.2 kB of 409\.6 kB, [\d.]+ .?B/s, 0:00 left", text)


@pytest.mark.parametrize("terminal", [True, False])
def test_bytes_are_shown_once(terminal):
    console = Console(file=io.StringIO(), force_terminal=terminal, width=140)
    with Display(console, WORDS, {"send": 1}) as display:
        for done in range(50_000, 76_000, 1000):
            display.show("send", done, 100_000)
    text = console.file.getvalue()
    assert "75.0 kB of 100.0 kB" in text
    assert not re.search(r"\b75000\b|\b100000\b", text)


def test_events_are_json_and_not_too_many():
    console = Console(file=io.StringIO(), force_terminal=False, width=20)
    with Events(console) as events:
        for done in range(1001):
            events.show("send", done, 1000)
        events.show("restart", 0, 0)
        assert events.stage == "restart"
    told = [json.loads(line) for line in console.file.getvalue().splitlines()]
    assert len(told) == 102
    assert told[0] == {"event": "progress", "stage": "send", "done": 0, "total": 1000}
    assert told[-1]["stage"] == "restart"


def test_elsewhere_each_stage_gets_a_few_lines():
    assert shown(False).splitlines() == [
        "Sending [blocks]: 0 of 100",
        "Sending [blocks]: 25 of 100",
        "Sending [blocks]: 50 of 100",
        "Sending [blocks]: 75 of 100",
        "Sending [blocks]: 100 of 100",
        "restart",
    ]
