"""Asks real boards by the JSON REPL of the first experiment: off by default, valid JSON always."""

import json

import pytest
from hostclient import HostClient
from waiting import wait_until

from mqwire import MAX_PAYLOAD


class Asker:
    """Publishes texts to the board and hears its answers."""

    def __init__(self, board):
        self._prefix = board.prefix
        self._seen = 0
        self._client = HostClient(board.broker.port, f"{board.prefix}/repl/out")

    def __enter__(self):
        self._client.__enter__()
        return self

    def __exit__(self, *end):
        self._client.__exit__(*end)

    def send(self, text, retain=False):
        self._client.publish(f"{self._prefix}/repl/in", text, retain=retain)

    def answers(self):
        """Return the answers since the last time."""
        found = [payload for _, payload, _ in self._client.messages[self._seen :]]
        self._seen += len(found)
        return found

    def ask(self, text, retain=False):
        self.send(text, retain)
        (payload,) = wait_until(self.answers)
        assert len(payload) <= MAX_PAYLOAD
        return json.loads(payload.decode())


@pytest.fixture(scope="module")
def board(make_shared_board):
    made = make_shared_board(repl={"json": True})
    made.wait_online()
    return made


@pytest.fixture
def asker(board):
    with Asker(board) as opened:
        yield opened


def test_the_example_of_the_first_experiment_works(asker):
    told = asker.ask("print('hello')")
    assert told == {"r": None, "o": "hello\n", "e": None, "x": False}
    assert asker.ask("2+3")["r"] == "5"
    told = asker.ask("import gc\nfor number in range(3): print(number)")
    assert told == {"r": None, "o": "0\n1\n2\n", "e": None, "x": True}


def test_a_traceback_is_that_of_the_code_alone(asker):
    told = asker.ask("def f():\n  1/0\nf()")
    assert told["e"].splitlines()[0].startswith("Traceback")
    assert "mqboard" not in told["e"] and told["e"].endswith("ZeroDivisionError: divide by zero")
    for text in ("raise SystemExit", "raise KeyboardInterrupt", "x = bytearray(10**8)", "((("):
        assert asker.ask(text)["e"], text
    assert asker.ask(b"\xff")["e"] == "UnicodeError: the text is no UTF-8"


def test_whatever_is_printed_comes_as_valid_json(asker):
    assert asker.ask("print(''.join(chr(c) for c in range(32)), end='')")["o"] == "".join(
        map(chr, range(32))
    )
    told = asker.ask("import sys; sys.stdout.buffer.write(bytes(range(256)))")
    assert told["o"] == bytes(range(128)).decode() + "?" * 128
    assert "?" in asker.ask("print('\\udc80')")["o"]
    told = asker.ask("for number in range(10000): print(number)")
    assert told["o"].startswith("0\n1\n2\n") and told["o"].endswith(" bytes more)")
    assert "bytes more" in asker.ask("'\\x01' * 9000")["r"]
    assert asker.ask("1")["r"] == "1"


def test_what_does_not_end_is_ended_by_a_cancel(board, asker):
    asker.send("board.log.warning('on and on')\nprint('on')\nwhile True: pass")
    board.device.wait_console("on and on", timeout=30)
    with board.session() as session:
        session.request("cancel", tail="json-repl")
    (payload,) = wait_until(asker.answers)
    told = json.loads(payload)
    assert told["o"] == "on\n" and told["e"].endswith("KeyboardInterrupt:")


def test_names_are_those_that_eval_has(board, asker):
    asker.ask("shared = 'here'")
    assert board.eval("shared") == "'here'"
    assert asker.ask("board.config.prefix")["r"] == repr(board.prefix)


def test_it_works_in_safe_mode_and_what_is_retained_is_refused(make_board):
    board = make_board(repl={"json": True})
    board.wait_online()
    with Asker(board) as asker:
        assert asker.ask("print('once')", retain=True)["o"] == "once\n"
        with board.session() as session:
            boot = session.status()["boot_id"]
            session.request("reset", b"safe")
            status = board.wait_status(session, lambda status: status["boot_id"] != boot)
            assert status["mode"] == "safe"
        assert asker.ask("board.identity.mode")["r"] == "'safe'"  # and nothing before it
    board.device.wait_console(f"refused the retained text on {board.prefix}/repl/in", timeout=30)


def test_it_is_off_unless_it_is_configured_and_beside_a_key(make_board, shared_board):
    guarded = make_board(repl={"json": True}, auth={"key": "the key of this very test"})
    guarded.wait_online()
    for board, session in (
        (shared_board, shared_board.session()),
        (guarded, guarded.session(auth_keys=("the key of this very test",))),
    ):
        with Asker(board) as asker, session:
            asker.send("asked = 1")
            # What comes after it is answered, and it was not.
            assert session.request("eval", b"'asked' in globals()").data == b"False"
            assert asker.answers() == []
    guarded.device.wait_console("repl.json is true; it takes no tags", timeout=30)
