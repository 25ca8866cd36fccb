"""Tests images, updates and rollouts over HTTP: they are taken, begun, followed and changed."""

import hashlib
from contextlib import ExitStack
from http.client import HTTPConnection

import pytest
from fakeboard import FakeBoard
from fakebuild import bundle_bytes, bundle_files
from pushing import offer_for
from serving import Served
from waiting import wait_until

from mqhost.errors import ToolError, UsageError
from mqhost.fleet.server.working.uploads import checked
from mqhost.signing.keys import build_keys

APP = bytes(range(256)) * 40
OFFER = offer_for(APP)
SHA = OFFER.sha256
QUICK = {"settle": "0s", "canary": "1", "wave": "100%", "max_failed": "0"}


@pytest.fixture(scope="module")
def one(broker, tmp_path_factory):
    with Served(broker, tmp_path_factory.mktemp("state") / "fleet.db") as running:
        running.store.add_image(OFFER, APP)
        yield running


@pytest.fixture
def served(one):
    one.without_users()
    return one


@pytest.fixture
def farm(served, broker, prefix):
    with ExitStack() as stack:
        boards = [stack.enter_context(FakeBoard(broker.port, f"{prefix}/{name}")) for name in "abc"]
        for board in boards:
            served.board(board.prefix)
        yield boards


def ended(served, ident):
    """Wait until the job has ended; return its record."""

    def over():
        job = served.http.get(f"/api/jobs/{ident}").json()
        return job if job["ended_at"] else None

    return wait_until(over, 30)


def rollout(served, number):
    return served.http.get(f"/api/rollouts/{number}").json()


def begin(served, prefix, **options):
    wish = {"images": [SHA], "pattern": f"{prefix}/+", "options": QUICK | options}
    answer = served.http.post("/api/rollouts", json=wish)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


# Images


def upload(served, files, **headers):
    parts = [("files", (name, data)) for name, data in files.items()]
    return served.http.post("/api/images", files=parts, headers=headers)


def test_an_image_is_taken_and_listed(served):
    files = {name: bundle_files("9.1")[name] for name in ("app.bin", "image.json")}
    told = upload(served, files)
    assert told.status_code == 201, told.text
    assert told.json()["sha256"] == hashlib.sha256(files["app.bin"]).hexdigest()
    listed = served.http.get("/api/images").json()
    assert told.json()["sha256"] in [one["sha256"] for one in listed]


def test_a_bundle_is_taken(served):
    told = upload(served, {"firmware.zip": bundle_bytes("9.2")})
    assert told.status_code == 201 and told.json()["version"] == "9.2", told.text


@pytest.mark.parametrize("name", ["app.bin", "image.json"])
def test_an_image_that_was_changed_is_not_kept(served, name):
    files = {one: bundle_files("9.3")[one] for one in ("app.bin", "image.json")}
    files[name] = files[name][:-1] + bytes([files[name][-1] ^ 1])
    answer = upload(served, files)
    assert answer.status_code == 400, answer.text
    assert "9.3" not in [one["version"] for one in served.http.get("/api/images").json()]


@pytest.mark.parametrize(
    "files",
    [
        {"app.bin": b"x"},
        {"image.json": b"{}"},
        {"x.zip": b"PK\x03\x04 and no more"},
        {"../../app.bin": b"x", "image.json": b"[]"},
        {str(number): b"" for number in range(6)},
        {"app.bin": b"x", "image.json": b"\xff" * 1000},
    ],
)
def test_what_is_no_image_is_not_kept(served, files):
    before = served.http.get("/api/images").json()
    answer = upload(served, files)
    assert answer.status_code in (400, 422) and answer.json()["error"]
    assert served.http.get("/api/images").json() == before


def test_an_offer_whose_signature_is_missing_is_not_kept():
    app = bundle_files("9.4")["app.bin"]
    files = {"app.bin": app, "image.json": offer_for(app, key="0" * 16).to_bytes()}
    with pytest.raises(UsageError, match="its signature, image.sig, is missing"):
        checked(files)
    made, _ = checked(files | {"image.sig": b"x" * 384})  # by a key that nobody here knows
    assert made.signature


def test_a_signature_that_is_wrong_is_not_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    key = build_keys().signing
    app = bundle_files("9.5")["app.bin"]
    offer = offer_for(app, key=key.public.id)
    files = {"app.bin": app, "image.json": offer.to_bytes()}
    assert checked(files | {"image.sig": key.sign(offer.to_bytes())})
    with pytest.raises(ToolError, match="is not the signature of key"):
        checked(files | {"image.sig": key.sign(b"another")})


def test_an_upload_that_is_too_large_is_refused(served):
    connection = HTTPConnection("127.0.0.1", served.port, timeout=20)
    connection.putrequest("POST", "/api/images")
    connection.putheader("Content-Length", str(1 << 30))
    connection.putheader("Content-Type", "multipart/form-data; boundary=x")
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()
    answer = served.http.post("/api/board/eval?prefix=a/b", content=b" " * (2 << 20))
    assert answer.status_code == 413


def test_an_image_is_removed_unless_a_rollout_has_it(served, farm, prefix):
    files = {name: bundle_files("9.6")[name] for name in ("app.bin", "image.json")}
    sha = upload(served, files).json()["sha256"]
    assert served.http.delete(f"/api/images/{sha}").json() == {"removed": sha}
    assert served.http.delete(f"/api/images/{sha}").status_code == 400
    assert sha not in [one["sha256"] for one in served.http.get("/api/images").json()]
    number = begin(served, prefix, window="00:00-00:01")
    answer = served.http.delete(f"/api/images/{SHA}")
    assert answer.status_code == 400 and "A rollout has the image" in answer.json()["error"]
    served.http.post(f"/api/rollouts/{number}/abort")
    assert served.http.delete("/api/images/x").status_code == 422


# Updates of one board


def test_a_board_is_updated_to_a_stored_image(served, farm):
    board = farm[0]
    where = {"prefix": board.prefix}
    job = served.http.post("/api/board/update", params=where, json={"image": SHA[:12]}).json()
    assert job["what"] == "update to 0.2.0" and job["prefix"] == board.prefix
    job = ended(served, job["id"])
    assert job["state"] == "done" and job["result"]["bytes_sent"] > 0, job
    assert board.image == APP
    results = [entry.result for entry in served.store.entries(board=board.prefix)]
    assert results[0] == "begun" and results[1].startswith("done: It runs 0.2.0")


def test_an_update_that_a_board_refuses_has_failed(served, farm):
    farm[0].facts["board"] = "another"
    where = {"prefix": farm[0].prefix}
    job = served.http.post("/api/board/update", params=where, json={"image": SHA}).json()
    job = ended(served, job["id"])
    assert job["state"] == "failed" and "another" in job["text"]


def test_a_board_does_one_thing_at_a_time_and_that_can_be_cancelled(served, farm):
    board = farm[0]
    board.on_block = lambda number, payload: []  # all are lost
    where = {"prefix": board.prefix}
    job = served.http.post("/api/board/update", params=where, json={"image": SHA}).json()
    answer = served.http.post("/api/board/reset", params=where, json={})
    assert answer.status_code == 409 and "busy: update to 0.2.0" in answer.json()["error"]
    served.http.delete(f"/api/jobs/{job['id']}")
    assert ended(served, job["id"])["state"] == "cancelled"


def test_an_image_that_is_not_there_is_told(served, farm):
    where = {"prefix": farm[0].prefix}
    answer = served.http.post("/api/board/update", params=where, json={"image": "0" * 64})
    assert answer.status_code == 400 and "no image" in answer.json()["error"]


def test_a_job_that_there_is_not_is_not_found(served):
    assert served.http.get("/api/jobs/7-x").status_code == 404
    assert served.http.delete("/api/jobs/7-x").status_code == 404


# Rollouts


def test_a_rollout_is_begun_driven_and_finished(served, farm, prefix):
    number = begin(served, prefix)
    wait_until(lambda: rollout(served, number)["state"] == "finished", 40)
    told = rollout(served, number)
    assert told["counts"] == {"done": 3} and [one["total"] for one in told["waves"]] == [1, 2]
    assert all(board.image == APP for board in farm)
    listed = served.http.get("/api/rollouts").json()
    assert listed[0]["id"] == number and listed[0]["total"] == 3
    assert served.fleet.driving.bytes_sent > 0


def test_what_a_rollout_would_do_is_told_and_nothing_done(served, farm, prefix):
    wish = {"images": [SHA], "pattern": f"{prefix}/+", "options": QUICK, "plan": True}
    told = served.http.post("/api/rollouts", json=wish).json()
    assert [len(wave) for wave in told["waves"]] == [1, 2] and told["skipped"] == {}
    assert all(board.image != APP for board in farm)


def test_a_rollout_is_paused_resumed_and_aborted(served, farm, prefix):
    for board in farm:
        board.on_block = lambda number, payload: []
    number = begin(served, prefix)
    wait_until(lambda: rollout(served, number)["counts"].get("sending"))
    assert rollout(served, number)["driver"]
    for wish, state in (("pause", "paused"), ("resume", "running"), ("abort", "aborted")):
        assert served.http.post(f"/api/rollouts/{number}/{wish}").json()["state"] == state
    answer = served.http.post(f"/api/rollouts/{number}/resume", json={})
    assert answer.status_code == 400 and "aborted" in answer.json()["error"]
    whats = [entry.what for entry in served.store.entries(number)]
    assert [one for one in whats if one in ("pause", "resume", "abort")] == whats[-3:]


def test_failed_boards_have_another_turn(served, farm, prefix):
    farm[0].refuse = 22
    number = begin(served, prefix, max_failed="3")
    wait_until(lambda: rollout(served, number)["counts"].get("failed") == 1, 40)
    wait_until(lambda: rollout(served, number)["state"] == "finished", 40)
    farm[0].refuse = None
    assert served.http.post(f"/api/rollouts/{number}/retry").json()["state"] == "running"
    wait_until(lambda: rollout(served, number)["counts"] == {"done": 3}, 40)


@pytest.mark.parametrize(
    "wish, words",
    [
        ({"images": [SHA]}, "Which boards"),
        ({"images": [SHA], "pattern": "no/board"}, "No board is chosen"),
        ({"images": ["0" * 64], "pattern": "#"}, "no image"),
        ({"images": [SHA], "pattern": "#", "options": {"canary": "x"}}, "canary"),
        ({"images": [SHA], "group": "north"}, "no group"),
    ],
)
def test_a_rollout_that_makes_no_sense_is_not_begun(served, wish, words):
    answer = served.http.post("/api/rollouts", json=wish)
    assert answer.status_code == 400 and words in answer.json()["error"]


def test_a_rollout_that_there_is_not_is_not_found(served):
    assert served.http.get("/api/rollouts/999").status_code == 404
    assert served.http.post("/api/rollouts/999/pause").status_code == 404
    assert served.http.post("/api/rollouts/999/explode").status_code == 422
    for path in ("/api/rollouts/{}", "/rollouts/{}", "/api/audit?rollout={}", "/audit?rollout={}"):
        assert served.http.get(path.format(10**30)).status_code == 422, path


def test_who_may_only_operate_begins_no_rollout(served, farm, prefix):
    served.fleet.users.add("anna", "operate", "a long password")
    token = served.fleet.users.token("anna", "t", "operate")
    served.http.headers["Authorization"] = f"Bearer {token}"
    try:
        wish = {"images": [SHA], "pattern": f"{prefix}/+"}
        assert served.http.post("/api/rollouts", json=wish).status_code == 403
        assert served.http.post("/api/rollouts/1/pause").status_code == 403
        assert upload(served, {"app.bin": b"x"}).status_code == 403
        assert served.http.get("/api/rollouts").status_code == 200
    finally:
        del served.http.headers["Authorization"]
