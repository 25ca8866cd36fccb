"""Changes the configuration of a real simulated board: what is good stays, what is not is left.

The tests share a board; the last one gives it another prefix.
"""

import json

import pytest

UPDATE = {"health_s": 0.5, "confirm_s": 4}


@pytest.fixture(scope="module")
def board(make_shared_board):
    return make_shared_board(update=UPDATE)


def run(board, *arguments):
    code, out, err = board.mqboard(*arguments)
    assert "simpassword" not in out + err
    return code, out, err


def test_a_wrong_password_is_left_again_and_a_good_change_is_kept(board):
    file = board.path.with_suffix(".json")
    code, _, err = run(board, "config", "revert")
    assert code == 5 and "there is no configuration before this one" in err
    code, out, _ = run(board, "config", "get", "--json")
    record = json.loads(out)
    assert code == 0 and record["networks"][0]["password"] == "<secret networks.0.password>"

    record["networks"][0]["password"] = "a wrong one"
    file.write_text(json.dumps(record))
    code, out, err = run(board, "config", "push", str(file))
    assert code == 1 and "a wrong one" not in out + err
    assert "networks.0.password" in out and "(another secret)" in out
    assert "is back with its old configuration" in err
    assert "did not get onto a network within 4 s" in err

    code, out, err = run(board, "config", "set", "log.level=debug", "modules.none={}")
    assert (code, err) == (0, "")
    assert "The board runs the new configuration" in out
    assert run(board, "config", "get", "log.level")[1] == "debug\n"
    assert "simpassword" in board.eval("open('/config.json').read()")

    code, out, err = run(board, "config", "revert")
    assert code == 2 and "log.level" in out and "modules.none" in out and "password" not in out
    code, out, err = run(board, "config", "revert", "--yes", "--json")
    assert {"key": "log.level", "old": "debug", "new": "info"} in json.loads(out)["changed"]
    assert (code, err == "" or "tries it" in err) == (0, True)
    assert json.loads(out)["confirmed"] is True
    code, _, err = run(board, "config", "get", "log.level")
    assert run(board, "config", "get", "log.level")[1] == "info\n"


def test_what_the_board_refuses_is_said(board):
    code, _, err = run(board, "config", "set", "broker.tls=true", "broker.ca=/nothing.pem")
    assert code == 5 and "/nothing.pem, and there is no such file" in err


def test_the_board_is_followed_to_another_prefix(board):
    new = board.prefix + "/new"
    code, out, err = run(board, "config", "set", f"prefix={new}")
    assert (code, err) == (0, ""), err
    assert f"Its prefix is {new} now." in out
    with board.session(timeout=0.3) as session:
        assert session.status() is None  # nothing is left where it was
    with board.session(prefix=new) as session:
        assert session.request("eval", b"board.config.prefix").text == repr(new)
