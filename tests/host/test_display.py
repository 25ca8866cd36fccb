"""Progress on the console: a bar on a terminal, few plain lines elsewhere."""

import io

from rich.console import Console

from mqhost.display import Display

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


def test_elsewhere_each_stage_gets_a_few_lines():
    assert shown(False).splitlines() == [
        "Sending [blocks]: 0 of 100",
        "Sending [blocks]: 25 of 100",
        "Sending [blocks]: 50 of 100",
        "Sending [blocks]: 75 of 100",
        "Sending [blocks]: 100 of 100",
        "restart",
    ]
