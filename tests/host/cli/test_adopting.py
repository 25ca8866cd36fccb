"""Tests adopting: it asks for what no option said, and for the broker before it flashes."""

import io
from dataclasses import replace

import pytest
from chipbuild import NOBODY, SIM, WISH, lay_build
from rich.console import Console

from mqhost.cli import adopt as adopting
from mqhost.cli.adopt import Adoption, adopt
from mqhost.cli.terminal.questions import Questions
from mqhost.errors import BrokerError, UsageError
from mqhost.link.boardconfig import Wish
from mqhost.link.settings import Settings


def test_adopting_asks_for_the_broker_before_it_flashes(tmp_path):
    adoption = Adoption("sim", f"sim:{tmp_path / 'flash'}", WISH, folder=lay_build(tmp_path, SIM))
    settings = Settings(server="127.0.0.1", port=1, prefix="esp32/test")
    with pytest.raises(BrokerError):
        adopt(adoption, settings, NOBODY, Console(file=io.StringIO()))
    assert not (tmp_path / "flash").exists()


def test_adopting_asks_what_no_option_said():
    answers = iter(["home", "10.0.0.1", ""])
    questions = Questions(lambda question: next(answers), None)
    assert adopting._ask(Wish(), Settings(), questions, simulated=False) == replace(WISH, tls=None)
    settings = Settings(server="broker.lan", port=1884, tls=False)
    wish = adopting._ask(Wish(ssid="home", prefix="a"), settings, NOBODY, simulated=False)
    assert wish.server == "broker.lan:1884"
    with pytest.raises(UsageError, match="give --broker"):  # ours takes no such keys
        adopting._ask(Wish(ssid="home", prefix="a", psk="b"), settings, NOBODY, simulated=False)
    with pytest.raises(UsageError, match="give --broker"):
        adopting._ask(Wish(ssid="home", prefix="a"), Settings(), NOBODY, simulated=False)
