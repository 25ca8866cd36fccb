"""Tests that what a board says cannot control a terminal, and is byte for byte in a pipe."""

import hashlib
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from commandline import APP, ENVIRONMENT, command_line, here, logging, write_app
from fakeboard import executed

import mqwire
from mqhost.cli.main import cli
from mqhost.cli.tasks import simulator
from mqhost.cli.terminal.printing import Cleaned, clean, clean_lines, json_text
from mqhost.cli.terminal.questions import Questions

# Title, clipboard, clear, cursor, the same as C1, and what turns a line around.
EVIL = "[i]\x1b]0;owned\x07\x1b]52;c;b3duZWQ=\x07\x1b[2J\x1b[9;9H\x9b2J\x7f\x08\u202e"
FORBIDDEN = ["\x1b]", "\x07", "\x1b[2J", "\x1b[9;9H", "\x9b", "\x7f", "\x08", "\u202e"]


class Screen(io.TextIOWrapper):
    """A standard output that is a terminal."""

    def isatty(self):
        return True


@pytest.fixture
def terminal(broker, prefix, tmp_path, capsys, monkeypatch):
    """Give a function that runs the command line here, on a terminal; returns what that shows."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments, timeout="5"):
        screen = Screen(io.BytesIO(), "utf-8", write_through=True)
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", screen)
            patch.setattr(sys, "stderr", screen)
            here(capsys, command_line(broker.port, prefix, "-T", timeout, *arguments))
        return screen.buffer.getvalue().decode()

    return run


@pytest.fixture
def piped(broker, prefix, tmp_path):
    """Give a function that runs the command line with pipes and returns its output in bytes."""

    def run(*arguments):
        line = command_line(broker.port, prefix, *arguments)
        options = {"cwd": tmp_path, "env": ENVIRONMENT, "capture_output": True, "timeout": 60}
        return subprocess.run(line, **options).stdout

    return run


@pytest.fixture
def image(tmp_path):
    """Write an app.bin with its image.json for the fake board; give its path."""
    return str(write_app(tmp_path))


def answering(board, data, topic=mqwire.reply_topic):
    """Have the board answer every command with `data`, as bytes or text."""
    data = data.encode() if isinstance(data, str) else data
    header = mqwire.SINGLE if topic is mqwire.reply_topic else b""

    def answer(command, ident, body):
        if command == "exec" and header:
            return executed(board, ident, data, {})
        return [(topic(board.prefix, ident), header + data)]

    board.answer = answer


# Each command that shows what a board says, and how the board is made to say it.


def shown_by_eval(board, terminal, image):
    answering(board, EVIL)
    yield terminal("eval", "x")
    yield terminal("-v", "eval", "x")
    answering(board, f"Traceback\n {EVIL}", mqwire.error_topic)
    yield terminal("eval", "x")
    board.answer = None
    board.silent.add("exec")
    board.facts["state"] = EVIL  # below the state that the board announces
    board.status = lambda: board.facts
    board.announce()
    yield terminal("eval", "x", timeout="0.5")


def shown_by_info(board, terminal, image):
    answering(board, f"no JSON, {EVIL}")
    yield terminal("info")
    for value in (EVIL, [EVIL], {EVIL: EVIL}):
        answering(board, json.dumps({"version": value, EVIL: value, "failed": value}))
        yield terminal("info")
        yield terminal("info", "--json")


def shown_by_status(board, terminal, image):
    for value in (EVIL, [EVIL], {EVIL: EVIL}):
        board.facts |= {"version": value, EVIL: value}
        board.announce()
        yield terminal("status")
        yield terminal("status", "--json")


def shown_by_log(board, terminal, image):
    for payload in (EVIL.encode(), EVIL.encode("latin-1", "replace")):
        with logging(board, payload):
            yield terminal("log", "--lines", "2")
            yield terminal("log", "--lines", "1", board.prefix.replace("test", "+"))
            yield terminal("log", "--lines", "1", "--json")
    with logging(board, f"E 1.0 {EVIL}: {EVIL}"):
        yield terminal("log", "--lines", "2")
    answering(board, json.dumps({"level": EVIL, "levels": {EVIL: EVIL}}))
    yield terminal("log", "--levels")
    yield terminal("log", "--level", "x=debug", "--json")


def shown_by_clock(board, terminal, image):
    board.facts["clock"] = {"time": 5, "trusted": EVIL, "source": EVIL}
    yield terminal("clock")
    yield terminal("clock", "--json")


def shown_by_boards(board, terminal, image):
    board.facts |= {"version": EVIL, "twin": EVIL, "disabled": [EVIL]}
    board.announce()
    for options in ((), ("--json",)):
        yield terminal("boards", board.prefix, *options)


def shown_by_config(board, terminal, image):
    board.config |= {EVIL: EVIL, "modules": {"m": {EVIL: EVIL, "key": EVIL}}, "ntp": EVIL}
    yield terminal("config", "get")
    yield terminal("config", "get", "ntp")
    yield terminal("config", "set", "ntp=other")
    board.refused = EVIL
    yield terminal("config", "unset", "ntp")
    answering(board, json.dumps({"config": EVIL}))
    yield terminal("config", "get")


def shown_by_modules(board, terminal, image):
    module = dict.fromkeys(("name", "state", "file", "error", "disabled"), EVIL)
    answering(board, json.dumps({"mode": EVIL, "modules": [module]}))
    yield terminal("modules")
    yield terminal("modules", "--json")
    answering(board, json.dumps(module))
    yield terminal("modules", "restart", "x")


def shown_by_crash(board, terminal, image):
    texts = ("kind", "running", "mode", "version", "reset_cause", "image", "traceback", "log")
    crash = dict.fromkeys(texts, EVIL) | {"number": 1, "heap_free": EVIL}
    answering(board, json.dumps({"crashes": [crash]} | crash))
    for words in ((), ("--json",), ("show",), ("show", "--json")):
        yield terminal("crash", *words)


def shown_by_repl(board, terminal, image):
    answering(board, EVIL)
    yield terminal("repl")
    answering(board, f"Traceback\n {EVIL}", mqwire.error_topic)
    yield terminal("repl")


def shown_by_reset(board, terminal, image):
    answering(board, EVIL, mqwire.error_topic)
    yield terminal("reset")


def shown_by_rollback(board, terminal, image):
    answering(board, EVIL, mqwire.error_topic)
    yield terminal("rollback")
    answering(board, json.dumps({"refused": EVIL}))
    yield terminal("rollback")


def shown_by_deploy(board, terminal, image):
    entry = {key: EVIL for key in ("id", "name", "version", "reason")} | {"seq": EVIL, "code": EVIL}
    now = {key: entry for key in ("now", "before", "failed")} | {"state": EVIL, "trace": EVIL}
    answering(board, json.dumps(now))
    yield terminal("deploy", "--list")
    yield terminal("deploy", "--list", "--json")
    answering(board, json.dumps({"refused": EVIL, "code": EVIL}))
    yield terminal("deploy", "--rollback")
    folder = Path(image).parent
    (folder / "main.py").touch()
    yield terminal("deploy", str(folder))


def shown_by_dev(board, terminal, image):
    board.facts["app"] = {"id": EVIL, "name": EVIL, "version": f"dev.{EVIL}", "state": "confirmed"}
    answering(board, json.dumps({"refused": EVIL, "code": EVIL}))
    folder = Path(image).parent
    (folder / "main.py").touch()
    yield terminal("dev", str(folder), "--once")


def shown_by_fleet(board, terminal, image):
    board.facts |= {"version": EVIL, "twin": EVIL}
    board.announce()
    yield terminal("fleet", "list", board.prefix)
    yield terminal("fleet", "list", board.prefix, "--json")
    yield terminal("fleet", "list", board.prefix, "--where", "x==1")
    board.config |= {EVIL: EVIL}
    board.unknown = [EVIL]
    words = ("fleet", "config", "set", "ntp=n", board.prefix, "--yes")
    yield terminal(*words)
    board.refused = EVIL
    yield terminal(*words)
    answering(board, EVIL, mqwire.error_topic)
    yield terminal(*words)
    yield terminal(*words, "--json")
    yield terminal("fleet", "info", board.prefix)
    yield terminal("fleet", "eval", "x", board.prefix)
    yield terminal("fleet", "deploy", str(Path(image).parent), board.prefix, "--yes")
    described = {"name": "MQBoard"}, [{"topic": mqwire.status_topic(f"{board.prefix}/{EVIL}")}]
    payload = json.dumps(dict(zip(("origin", "availability"), described, strict=True)))
    board._client.publish("evil/device/mqboard_ab12/config", payload, 1, True).wait_for_publish(10)
    words = (
        "fleet",
        "homeassistant",
        f"{board.prefix}/#",
        "--remove",
        "--discovery-prefix",
        "evil",
    )
    yield terminal(*words)
    words = ("fleet", "rollout", image, board.prefix, "--yes", "--database")
    for number, more in enumerate(((), ("--json",))):
        yield terminal(*words, f"{number}.db", *more)
    yield terminal("fleet", "rollout", "status", "1", "--database", "0.db")
    yield terminal("fleet", "rollout", "list", "--database", "0.db")


def shown_by_ota(board, terminal, image):
    push = ("ota", "--image", image)
    board.facts["version"] = EVIL
    yield terminal(*push)
    board.image = APP
    yield terminal(*push)
    board.image = b"old image"
    board.facts |= {"board": EVIL}
    yield terminal(*push)
    yield terminal("ota")
    board.facts |= {"board": "sim"}
    board._finish = lambda ident, code, _: type(board)._finish(board, ident, code, EVIL.encode())
    board.refuse = 19
    yield terminal(*push)
    yield terminal(*push, "--json")
    board.refuse = 200
    yield terminal(*push)
    board.refuse = None
    failed = {"image": hashlib.sha256(APP).hexdigest(), "code": 53, "reason": EVIL, "version": EVIL}
    board.facts |= {"failed": failed}
    yield terminal(*push)
    board.facts |= {"failed": None, "signing": "required", "keys": [EVIL]}
    yield terminal(*push)


def shown_by_exec(board, terminal, image):
    for told in ({}, {"error": f"Traceback\n {EVIL}"}, {"exit": EVIL}):
        board.answer = lambda command, ident, body, told=told: executed(
            board, ident, EVIL.encode(), told
        )
        yield terminal("exec", "x")


def shown_by_run(board, terminal, image):
    answering(board, EVIL)
    Path("code.py").write_text("x")
    yield terminal("run", "code.py")


def shown_by_mount(board, terminal, image):
    words = "mount", str(Path(image).parent), "exec", "x"
    for told in (EVIL, json.dumps({"error": EVIL}), json.dumps({"boot_id": EVIL, "path": EVIL})):
        answering(board, told)
        yield terminal(*words, timeout="0.5")
    answering(board, EVIL, mqwire.error_topic)
    yield terminal(*words)


def shown_by_cancel(board, terminal, image):
    running = [{"id": EVIL, "text": EVIL, "s": 5}, {"id": "b", "text": EVIL, "s": EVIL}]
    answering(board, json.dumps({"running": running}))
    yield terminal("cancel")
    yield terminal("cancel", "--all")
    yield terminal("cancel", "--list")
    yield terminal("cancel", "--list", "--json")


def shown_by_errors(*words):
    """Return what shows the errors that a command for files can have."""

    def shown(board, terminal, image):
        for error in ("ENOENT", EVIL):
            answering(board, json.dumps({"error": error, "path": EVIL, "detail": EVIL}) + "\n")
            yield terminal(*words)
        answering(board, EVIL, mqwire.error_topic)
        yield terminal(*words)

    return shown


def shown_by_names(*words):
    """Return the same, and what shows the names of files, and nonsense."""

    def shown(board, terminal, image):
        for line in ([EVIL, 3, 5, EVIL], [EVIL, 3, 1], [EVIL, None]):
            answering(board, json.dumps(line) + "\n" + json.dumps({"done": 1}) + "\n")
            yield terminal(*words)
        answering(board, f"no JSON, {EVIL}\n")
        yield terminal(*words)
        yield from shown_by_errors(*words)(board, terminal, image)

    return shown


def shown_by_install(board, terminal, image):
    answering(board, EVIL)
    yield terminal("install", "a", "--index", ".")
    folder = Path("package/py/a")
    folder.mkdir(parents=True)
    for record in ({"version": EVIL}, {"deps": [[EVIL, EVIL]]}, {"urls": [[EVIL, EVIL]]}, EVIL):
        (folder / "latest.json").write_text(json.dumps(record))
        yield terminal("install", "a", "--index", ".")


SHOWN = {
    "cancel": shown_by_cancel,
    "cat": shown_by_names("cat", EVIL),
    "cp": shown_by_errors("cp", ":a", ":b"),
    "df": shown_by_names("df"),
    "edit": shown_by_errors("edit", ":a"),
    "fleet": shown_by_fleet,
    "get": shown_by_names("get", ":a"),
    "install": shown_by_install,
    "ls": shown_by_names("ls", "-l", "--sha"),
    "mkdir": shown_by_errors("mkdir", "a"),
    "mv": shown_by_errors("mv", "a", "b"),
    "put": shown_by_errors("put", __file__),
    "rm": shown_by_errors("rm", "a"),
    "rmdir": shown_by_errors("rmdir", "a"),
    "sync": shown_by_names("sync", "."),
    "touch": shown_by_errors("touch", "a"),
    "tree": shown_by_names("tree"),
    "eval": shown_by_eval,
    "exec": shown_by_exec,
    "run": shown_by_run,
    "info": shown_by_info,
    "status": shown_by_status,
    "log": shown_by_log,
    "clock": shown_by_clock,
    "boards": shown_by_boards,
    "config": shown_by_config,
    "crash": shown_by_crash,
    "modules": shown_by_modules,
    "mount": shown_by_mount,
    "repl": shown_by_repl,
    "reset": shown_by_reset,
    "rollback": shown_by_rollback,
    "deploy": shown_by_deploy,
    "dev": shown_by_dev,
    "ota": shown_by_ota,
}
# Some know no board; what adopt shows of one goes through the same functions.
ELSEWHERE = {"sbom", "sign", "verify", "completion", "broker-config", "crowd", "adopt"}
ELSEWHERE |= {"artifact", "broker", "build", "clean", "doctor", "flash", "keys", "provision", "sim"}
ELSEWHERE |= {"new", "test"}
ELSEWHERE |= {"monitor"}  # a terminal's program of its own


@pytest.mark.parametrize("command", ["eval", "info", "config get", "ls -l", "ls"])
def test_what_many_boards_say_cannot_control_the_terminal(command, board, terminal):
    words = ["--prefix", board.prefix.replace("test", "+"), *command.split()]
    words += ["x"] * (command == "eval")
    board.config |= {EVIL: EVIL}
    board.facts |= {"version": EVIL}
    texts = [terminal(*words)]
    for answer in (EVIL, f"{EVIL}\n{EVIL}", json.dumps({"version": EVIL, "slot": EVIL})):
        answering(board, answer)
        texts.append(terminal(*words))
        answering(board, answer, mqwire.error_topic)
        texts.append(terminal(*words))
    answering(board, json.dumps([EVIL, 3, 5]) + "\n" + json.dumps({"done": 1}) + "\n")
    texts.append(terminal(*words))
    for text in texts:
        assert board.prefix in text and not [code for code in FORBIDDEN if code in text], text


def test_every_command_is_looked_at():
    assert set(cli.commands) == SHOWN.keys() | ELSEWHERE


@pytest.mark.parametrize("command", SHOWN)
def test_what_a_board_says_cannot_control_the_terminal(command, board, terminal, image):
    texts = list(SHOWN[command](board, terminal, image))
    for text in texts:
        assert text and not [code for code in FORBIDDEN if code in text], text
    assert any("owned" in text for text in texts)


def test_with_raw_it_can(board, terminal):
    answering(board, EVIL)
    assert EVIL in terminal("eval", "--raw", "x")
    with logging(board, EVIL):
        assert EVIL in terminal("log", "--raw", "--lines", "1")


def test_piped_it_is_byte_for_byte(board, piped):
    data = EVIL.encode() + b"\xff\x00\r\n"
    answering(board, data)
    assert piped("eval", "x") == data
    with logging(board, data):
        assert piped("log", "--lines", "1") == data
    with logging(board, b"no end of line \xff"):
        assert piped("log", "--lines", "1") == b"no end of line \xff\n"


def test_facts_and_sentences_are_cleaned_in_a_pipe_too(board, piped):
    board.facts["version"] = "1\n\x1b[2J[red]"
    assert "1\ufffd\ufffd[2J[red]\n" in piped("info").decode()


def test_what_is_told_to_scripts_is_json_that_says_all(board, piped):
    board.facts["version"] = EVIL
    assert json.loads(piped("info", "--json"))["version"] == EVIL
    assert json_text(EVIL, None).isprintable()


def test_numbers_that_are_none_are_null_in_json():
    said = json.loads('{"a": NaN, "b": [1e999, -Infinity, 1.5], "c": "NaN"}')
    assert json_text(said, None) == '{"a": null, "b": [null, null, 1.5], "c": "NaN"}'


def test_questions_cannot_control_the_terminal_either():
    asked = []
    questions = Questions(lambda question: asked.append(question) or "y", None)
    assert questions.agree(f"There is {EVIL}. Replace it?")
    assert asked[0].isprintable()


def test_control_characters_are_replaced_and_lines_stay():
    assert clean("a\x1b\nb") == "a\ufffd\ufffdb"
    assert clean_lines("a\x9b2J\tb\r\nc\r") == "a\ufffd2J\tb\nc\ufffd"


@pytest.mark.parametrize("kind", [Screen, io.TextIOWrapper])
def test_the_console_of_a_simulated_board_is_cleaned_on_a_terminal(kind, monkeypatch, tmp_path):
    class Device:  # one that prints, and is then stopped
        def __init__(self, *_, console, **__):
            console(f"{EVIL}\r\n".encode())

        def start(self):
            pass

        def join(self):
            raise KeyboardInterrupt

        def stop(self):
            pass

    output = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", kind(output))
    monkeypatch.setattr(simulator, "Device", Device)
    monkeypatch.setattr(simulator, "provision_flash", lambda *_, **options: True)
    simulator.run_foreground("a", flash=tmp_path / "flash", say=lambda line: None)
    shown = output.getvalue().decode()
    assert shown == (f"{clean(EVIL)}\n" if kind is Screen else f"{EVIL}\r\n")


class Kept:
    def __init__(self):
        self.data = b""

    def write(self, data):
        self.data += data

    def flush(self):
        pass


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_pieces_are_cleaned_as_the_whole(size):
    data = "a€\r\nb\x1b]0;t\x07\u202e😀\tc\rd".encode() + b"\xff\xe2\x82\n"
    kept = Kept()
    output = Cleaned(kept)
    for start in range(0, len(data), size):
        output.write(data[start : start + size])
    assert kept.data.decode() == "a€\nb\ufffd]0;t\ufffd\ufffd😀\tc\nd\ufffd\ufffd\n"
