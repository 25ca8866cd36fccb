"""Tests the files of a simulated board over HTTP: who may read, write, move and remove them."""

import hashlib

import pytest
from serving import Served
from waiting import wait_until

from mqhost.fleet.server.asking import LARGEST_FILE

PREFIX = "kept/files"  # not among those of other files, whose patterns would find it offline
ROLES = ("look", "operate")


@pytest.fixture(scope="module")
def board(make_shared_board):
    made = make_shared_board(prefix=PREFIX)
    made.wait_online()
    return made


@pytest.fixture(scope="module")
def served(broker, board, tmp_path_factory):
    with Served(broker, tmp_path_factory.mktemp("state") / "fleet.db") as running:
        for role in ROLES:
            running.fleet.users.add(role, role, None)
        running.board(PREFIX)
        yield running


class Person:
    """Somebody with a token, who asks for the files of the board."""

    def __init__(self, served, role):
        token = served.fleet.users.token(role, "t", role)
        self.http = served.client(headers={"Authorization": f"Bearer {token}"})

    def ask(self, method, what, body=None, **asked):
        """Return the answer; of a job the record when it has ended."""
        more = {"json": body} if isinstance(body, dict) else {"content": body}
        where = {"prefix": PREFIX} | asked
        answer = self.http.request(method, f"/api/board/{what}", params=where, **more)
        if method == "GET" or answer.status_code not in (200, 202):  # 200: it has ended already
            return answer
        ident = answer.json()["id"]

        def ended():
            job = self.http.get(f"/api/jobs/{ident}").json()
            return job if job["ended_at"] else None

        return wait_until(ended, 60)


@pytest.fixture(scope="module")
def people(served):
    found = {role: Person(served, role) for role in ROLES}
    yield found
    for one in found.values():
        one.http.close()


@pytest.fixture
def otto(people):
    return people["operate"]


@pytest.fixture
def lena(people):
    return people["look"]


def sha(data):
    return hashlib.sha256(data).hexdigest()


def test_a_file_is_written_read_moved_and_removed(otto, lena):
    assert otto.ask("POST", "folder", {"path": "/notes"})["state"] == "done"
    job = otto.ask("PUT", "file", b"one\r\n", path="/notes/a.txt", was="none")
    assert job["result"] == {"path": "/notes/a.txt", "size": 5, "sha256": sha(b"one\r\n")}
    answer = lena.ask("GET", "file", path="/notes/a.txt")
    assert answer.content == b"one\r\n" and answer.headers["etag"] == f'"{sha(answer.content)}"'
    moved = otto.ask("POST", "move", {"path": "/notes/a.txt", "to": "/notes/b.txt"})
    assert moved["state"] == "done"
    listed = lena.ask("GET", "files", path="/notes").json()
    assert [(one["path"].rpartition("/")[2], one["size"]) for one in listed] == [("b.txt", 5)]
    assert otto.ask("DELETE", "file", path="/notes", recursive=True)["result"]["removed"] == 2
    assert "/notes" not in str(lena.ask("GET", "files").json())


def test_what_somebody_changed_meanwhile_is_not_written_over(otto, board):
    otto.ask("PUT", "file", b"mine", path="/edit.txt")
    board.eval("with open('/edit.txt', 'w') as file: file.write('theirs')")
    job = otto.ask("PUT", "file", b"mine too", path="/edit.txt", was=sha(b"mine"))
    assert job["state"] == "failed" and "was changed on the board since you saw it" in job["text"]
    assert job["result"]["exit_code"] == 5
    assert otto.ask("GET", "file", path="/edit.txt").content == b"theirs"
    job = otto.ask("PUT", "file", b"new", path="/edit.txt", was="none")
    assert job["state"] == "failed" and "is there already" in job["text"]
    job = otto.ask("PUT", "file", b"theirs", path="/edit.txt", was=sha(b"before"))
    assert job["state"] == "done"  # it is so: an answer was lost
    board.eval("__import__('os').remove('/edit.txt')")
    job = otto.ask("PUT", "file", b"mine", path="/edit.txt", was=sha(b"theirs"))
    assert job["state"] == "failed" and "was removed on the board" in job["text"]


def test_a_name_that_is_taken_is_not_moved_over_unless_that_is_wished(otto):
    for path in ("/one", "/two"):
        otto.ask("PUT", "file", path.encode(), path=path)
    wish = {"path": "/one", "to": "/two"}
    job = otto.ask("POST", "move", wish)
    assert job["state"] == "failed" and "/two is there already" in job["text"]
    assert otto.ask("POST", "move", wish | {"replace": True})["state"] == "done"
    assert otto.ask("GET", "file", path="/two").content == b"/one"


def test_who_may_look_sees_no_secret_and_changes_nothing(lena, otto):
    otto.ask("PUT", "file", b"password = 'hunter22'", path="/net.py")
    otto.ask("PUT", "file", b"\0\1hunter22", path="/net.bin")
    for path in ("/config.json", "//lib/../config.json", "/net.py", "/net.bin"):
        answer = lena.ask("GET", "file", path=path)
        assert answer.status_code == 403 and "role operate" in answer.json()["error"]
        assert "hunter22" not in answer.text
    assert b"hunter22" in otto.ask("GET", "file", path="/net.py").content
    page = lena.http.get("/board/file", params={"prefix": PREFIX, "path": "/net.py"})
    assert "role operate" in page.text and "hunter22" not in page.text
    for person in (lena, otto):
        asked = {"prefix": PREFIX, "path": "/config.json"}
        assert "simpassword" not in person.http.get("/board/file", params=asked).text


def test_the_configuration_stays(otto):
    assert otto.ask("DELETE", "file", path="/x/../config.json").status_code == 400
    moved = otto.ask("POST", "move", {"path": "config.json", "to": "/gone"})
    assert moved.status_code == 400 and "stays" in moved.json()["error"]
    job = otto.ask("PUT", "file", b"{}", path="/config.json")
    assert job["state"] == "failed" and "mqboard config push" in job["text"]
    assert otto.ask("DELETE", "file", path="/", recursive=True).status_code == 400


def test_sizes_at_their_bounds(otto):
    assert otto.ask("PUT", "file", b"", path="/empty")["result"]["size"] == 0
    assert otto.ask("GET", "file", path="/empty").content == b""
    for body in (bytes(LARGEST_FILE + 1), iter([bytes(LARGEST_FILE), b"x"])):
        answer = otto.ask("PUT", "file", body, path="/large")
        assert answer.status_code == 413 and "1 MiB" in answer.json()["error"]
    assert otto.ask("GET", "file", path="/large").status_code == 502


def test_all_of_it_is_audited(served, otto):
    otto.ask("PUT", "file", b"x", path="/audited")
    otto.ask("GET", "file", path="/audited")
    otto.ask("DELETE", "file", path="/audited")
    entries = [one for one in served.store.entries(board=PREFIX) if "/audited" in one.what]
    assert {one.who for one in entries} == {"operate"}
    words = [(one.what, one.result) for one in entries if one.result != "begun"]
    assert words == [
        ("put /audited", "done: /audited is put, 1 B."),
        ("read /audited", "1 B"),
        ("remove /audited", "done: /audited is removed."),
    ]
