"""Tests that every command ends with the exit codes that docs/cli.md promises, and with a sentence.

A command that is added is in it by itself, with arguments made up. What is special about one stands
in the tables below.
"""

import click
import pytest
from commandline import here, write_app
from fakeboard import FakeBoard

import mqwire
from mqhost.cli.edge import Edge
from mqhost.cli.main import cli
from mqhost.link.settings import Settings
from mqhost.sim.broker import Broker, free_port
from mqwire import auth

# Commands that talk to no board.
LOCAL = {"adopt", "broker-config", "completion", "sbom", "sign", "verify"}
LOCAL |= {"fleet serve", "fleet audit"}
LOCAL |= {"artifact", "broker", "build", "doctor", "flash", "keys", "monitor", "provision", "sim"}
LOCAL |= {"clean", "new", "test"}
LOCAL |= {f"fleet user {word}" for word in ("add", "list", "remove", "password", "role", "token")}
# Of the database of rollouts; its own tests have them.
LOCAL |= {
    f"fleet rollout {name}"
    for name in ("abort", "drive", "forget", "list", "pause", "resume", "retry-failed", "status")
}
# What cannot be made up.
ARGUMENTS = {
    "cp": [":a", ":b"],
    "crowd": ["--boards", "2", "--seconds", "0.2"],  # without, it goes on for ever
    "deploy": ["--list"],
    "dev": ["FOLDER", "--once"],  # without it, it goes on for ever
    "config set": ["update.confirm_s=120"],
    "config unset": ["update.confirm_s"],
    "fleet config push": ["FILE", "--yes"],
    "fleet config unset": ["update.confirm_s", "--yes"],
    "fleet config set": ["update.confirm_s=120", "--yes"],
    "fleet deploy": ["FOLDER", "--yes"],
    "fleet homeassistant": ["--remove"],  # without it, it runs for ever
    "fleet rollout start": ["APP", "--yes", "--settle", "0s"],
    "mount": ["FOLDER"],
    "mv": [":a", ":b"],
    "install": ["x", "--index", "FOLDER"],
    "log": ["--levels"],  # without it, it follows for ever
    "ota": ["--image", "APP"],
    "sync": ["FOLDER"],
}
# (command, situation): the code, where it is not that of all others.
SPECIAL = {
    ("boards", "no prefix"): 4,  # of all prefixes: there is none at this broker
    ("boards", "error"): 0,
    ("boards", "refused"): 0,
    ("crowd", "no prefix"): 0,  # it has boards of its own
    ("crowd", "nobody"): 0,
    ("crowd", "error"): 0,
    ("crowd", "refused"): 0,
    ("fleet list", "no prefix"): 4,
    ("fleet list", "error"): 0,
    ("fleet list", "refused"): 0,
    ("fleet info", "no prefix"): 4,
    ("fleet homeassistant", "nobody"): 0,  # then nobody is there to be taken out
    ("fleet homeassistant", "error"): 0,
    ("fleet homeassistant", "refused"): 0,
    ("fleet rollout start", "refused"): 1,  # of many: it has stopped, whatever the reason
    ("status", "error"): 0,
    ("status", "refused"): 0,
}
# What the broker knows is enough for them; a fleet's boards that are offline are not asked.
ASKS_THE_BROKER = ("boards", "crowd", "status", "fleet")
CONFIG = '{"prefix": "a", "networks": [{"ssid": "n"}], "broker": {"host": "h", "tls": false}}'


def leaves(command, words=()):
    """Yield (words, command) of all commands that are no groups."""
    if isinstance(command, click.Group):
        for name in command.commands:
            yield from leaves(command.commands[name], (*words, name))
    else:
        yield " ".join(words), command


COMMANDS = {words: command for words, command in leaves(cli) if words not in LOCAL}


def arguments(words, command, folder):
    """Return what `command` may be given, so that it has something to do."""
    given = ARGUMENTS.get(words)
    if given is None:
        given = [
            _value(parameter)
            for parameter in command.params
            if isinstance(parameter, click.Argument) and parameter.required
        ]
    files = {"FILE": folder / "config.json", "APP": folder / "app.bin", "FOLDER": folder}
    return [str(files.get(one, one)) for one in given]


def _value(argument):
    if isinstance(argument.type, click.Choice):
        return argument.type.choices[0]
    is_path = isinstance(
        argument.type, (click.Path, click.File)
    ) or "FILE" in argument.make_metavar(click.Context(cli))
    return "FILE" if is_path else "1"


@pytest.fixture(scope="module")
def lonely():
    """Run a broker without boards."""
    with Broker() as broker:
        yield broker


@pytest.fixture(scope="module")
def left():
    """Run a broker that the board `gone` has left."""
    with Broker() as broker:
        with FakeBoard(broker.port, "gone"):
            pass
        yield broker


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """Give run(words, *options) -> how the command ends."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MQBOARD_DATABASE", str(tmp_path / "fleet.db"))
    (tmp_path / "config.json").write_text(CONFIG)
    (tmp_path / "main.py").write_text("")
    write_app(tmp_path)

    def go(words, *options, T="0.3"):
        line = [*words.split(), *arguments(words, COMMANDS[words], tmp_path)]
        return here(capsys, ["", "", "", "-T", T, *map(str, options), *line])

    return go


def check(ended, words, situation, code):
    code = SPECIAL.get((words, situation), code)
    assert ended.returncode == code, (ended.stdout, ended.stderr)
    assert "Traceback (most" not in ended.stderr
    if words != "crowd":  # which tells there how it goes, once its boards are up
        assert bool(ended.stderr.strip()) == bool(code)


@pytest.mark.parametrize("words", COMMANDS)
def test_an_option_that_there_is_not_is_2(words, capsys):
    ended = here(capsys, ["", "", "", "--prefix", "a", *words.split(), "--no-such-option"])
    assert ended.returncode == 2 and "--no-such-option" in ended.stderr


# Without a prefix dev has a board of its own.
@pytest.mark.parametrize("words", [words for words in COMMANDS if words != "dev"])
def test_no_prefix_is_2(words, run, lonely):
    check(run(words, "--port", lonely.port), words, "no prefix", 2)


@pytest.mark.parametrize("words", COMMANDS)
def test_no_broker_is_3(words, run):
    check(run(words, "--prefix", "a", "--port", free_port()), words, "no broker", 3)


@pytest.mark.parametrize("words", COMMANDS)
def test_nobody_there_is_4(words, run, lonely):
    check(run(words, "--prefix", "nobody", "--port", lonely.port), words, "nobody", 4)


@pytest.mark.parametrize(
    "words", [words for words in COMMANDS if not words.startswith(ASKS_THE_BROKER)]
)
def test_a_board_that_is_offline_is_told_to_be_before_the_timeout(words, run, left, monkeypatch):
    settings = Settings(port=left.port, prefix="gone", timeout=30, patient=False)
    monkeypatch.setattr(Edge, "settings", settings)
    ended = run(words)
    assert ended.returncode == 4, (ended.stdout, ended.stderr)
    assert "gone is offline (no reason known). Check its power" in ended.stderr


@pytest.mark.parametrize("words", COMMANDS)
def test_an_error_of_the_board_is_1(words, run, broker, prefix):
    with FakeBoard(broker.port, prefix) as board:
        board.answer = lambda command, ident, body: [(mqwire.error_topic(prefix, ident), b"No.")]
        ended = run(words, "--prefix", prefix, "--port", broker.port, T="5")
    check(ended, words, "error", 1)


@pytest.mark.parametrize("words", COMMANDS)
def test_a_board_that_refuses_is_5(words, run, broker, prefix):
    board = FakeBoard(broker.port, prefix)
    board.facts["auth"] = {"key": "0123abcd", "nonce": "00" * 8}  # that nobody here has
    no = auth.NO_TAG.encode()
    board.answer = lambda command, ident, body: [(mqwire.error_topic(prefix, ident), no)]
    with board:
        ended = run(words, "--prefix", prefix, "--port", broker.port, T="5")
    check(ended, words, "refused", 5)
