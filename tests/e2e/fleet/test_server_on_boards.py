"""Tests the server on a real simulated board: what it does there really happens."""

import pytest
from serving import Served
from waiting import wait_until

from mqhost.signing.offer import load_image


@pytest.fixture(scope="module")
def board(make_shared_board):
    made = make_shared_board(prefix="served/board", update={"health_s": 0.5, "confirm_s": 10})
    made.wait_online()
    made.wait_settled()
    return made


@pytest.fixture(scope="module")
def served(broker, board, tmp_path_factory):
    with Served(broker, tmp_path_factory.mktemp("state") / "fleet.db", rate=10) as running:
        running.board("served/board")
        yield running


def ask(served, path, **asked):
    answer = served.http.get(path, params={"prefix": "served/board"} | asked)
    assert answer.status_code == 200, answer.text
    return answer.json()


def do(served, what, **body):
    """Begin a job; return its record when it has ended."""
    where = {"prefix": "served/board"}
    answer = served.http.post(f"/api/board/{what}", params=where, json=body)
    assert answer.status_code in (200, 202), answer.text
    return over(served, answer.json()["id"])


def over(served, ident):
    """Return the record of a job when it has ended, well."""

    def ended():
        job = served.http.get(f"/api/jobs/{ident}").json()
        return job if job["ended_at"] else None

    job = wait_until(ended, 120)
    assert job["state"] == "done", job
    return job


def test_it_is_asked(served):
    assert ask(served, "/api/board/info")["board"] == "sim"
    assert ask(served, "/api/board/config")["config"]["prefix"] == "served/board"
    assert "/config.json" in [
        "/" + one["path"].lstrip("/") for one in ask(served, "/api/board/files")
    ]
    assert ask(served, "/api/board/crashes") == []


def test_code_runs(served):
    job = do(served, "eval", code="print('said by code')\n6*7")
    assert job["result"]["output"].splitlines() == ["said by code", "42"]


def test_an_error_of_the_code_is_told(served):
    job = do(served, "eval", code="1/0")
    assert "ZeroDivisionError" in job["text"] and "ZeroDivisionError" in job["result"]["error"]


def test_its_heap_gets_into_the_history_whoever_asks_for_it(served):
    ask(served, "/api/board/info")
    points = wait_until(lambda: ask(served, "/api/history", what="heap")["points"], 60)
    assert 20_000 < points[-1][1] < 1_000_000


def test_its_configuration_is_changed_and_tried(served):
    job = do(served, "config", set={"log.level": "debug"})
    assert job["result"]["changed"] == ["log.level"]
    assert ask(served, "/api/board/config")["config"]["log"]["level"] == "debug"
    assert do(served, "config", set={"log.level": "debug"})["text"] == "It has it so already."


def test_it_is_restarted_in_safe_mode_and_back(served):
    assert do(served, "reset", mode="safe")["result"]["mode"] == "safe"
    wait_until(lambda: ask(served, "/api/board")["mode"] == "safe")
    assert do(served, "reset", mode="normal")["result"]["mode"] == "normal"
    assert wait_until(lambda: served.fleet.last_lines("served/board")), "it logs as it boots"


@pytest.fixture
def package(board, tmp_path):
    """Give the package of an application, as its maker writes it."""
    folder = tmp_path / "pumps"
    folder.mkdir()
    (folder / "main.py").write_text("print('pumping')\n")
    (folder / "app.toml").write_text('version = "1"\n')
    code, out, err = board.mqboard("deploy", folder, "--pack", tmp_path / "pumps.zip")
    assert code == 0 and "pumps 1" in out and "signed with key" in out, out + err
    return (tmp_path / "pumps.zip").read_bytes()


def deploy(served, data, **asked):
    return served.http.post("/api/deploy", params=asked, files={"package": ("x.zip", data)})


def test_an_application_is_deployed_and_confirmed(served, package):
    for text in ("It runs pumps 1, confirmed", "It runs pumps 1 already."):
        answer = deploy(served, package, pattern="served/+")
        told = answer.json()
        assert answer.status_code == 202 and told["application"] == "pumps 1" and not told["left"]
        assert text in over(served, told["jobs"][0]["id"])["text"]
    assert ask(served, "/api/board/info")["app"]["name"] == "pumps"


def test_a_deployment_that_makes_no_sense_is_told(served, package):
    for asked, data, sentence in (
        ({}, package, "Which boards?"),
        ({"pattern": "no/board"}, package, "No board that is known"),
        ({"pattern": "#"}, b"what", "no package of an application"),
        ({"pattern": "#"}, package[:-40], "no package of an application"),
    ):
        answer = deploy(served, data, **asked)
        assert answer.status_code == 400 and sentence in answer.json()["error"]


def test_it_is_updated_and_confirmed(served, variant):
    offer, app = load_image(variant("2.0.0").app)
    served.store.add_image(offer, app)
    job = do(served, "update", image=offer.sha256)
    assert job["result"]["new_version"] == offer.version
    assert ask(served, "/api/board/info")["image"] == offer.sha256
    assert served.fleet.bytes_sent > 0
