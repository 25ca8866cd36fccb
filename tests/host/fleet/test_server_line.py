"""Tests mqboard fleet serve, user and audit: what a line does, and what ends a server."""

import json
import signal
import ssl
import subprocess

import httpx
import pytest
from commandline import ENVIRONMENT, command_line, here
from cryptography.hazmat.primitives.serialization import Encoding
from waiting import wait_until

from mqhost.broker.authority import Authority
from mqhost.fleet.store.store import Store
from mqhost.sim.broker import free_port

PASSWORD = "a long password"


@pytest.fixture
def place(tmp_path):
    return str(tmp_path / "fleet.db")


@pytest.fixture
def run(capsys, broker, place):
    def go(*words, **environment):
        line = command_line(broker.port, "", "fleet", *words, "--database", place)
        return here(capsys, line, **environment)

    return go


class Serving:
    """A server that is a process of its own."""

    def __init__(self, broker, place, *words, scheme="http", port=None):
        self.port = port or free_port()
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        listen = ("--listen", f"127.0.0.1:{self.port}", "--database", place)
        line = command_line(broker.port, "", "fleet", "serve", *listen, *words)
        self.process = subprocess.Popen(
            line, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def __enter__(self):
        return self

    def wait(self, **options):
        """Wait until it answers."""

        def answers():
            assert self.process.poll() is None, self.process.communicate()
            try:
                return httpx.get(f"{self.url}/healthz", **options).status_code == 200
            except httpx.TransportError:
                return False

        wait_until(answers, 40)
        return self

    def end(self, number):
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out, err

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate(timeout=30)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_told_to_end(broker, place, number):
    with Serving(broker, place) as serving:
        serving.wait()
        with httpx.stream("GET", f"{serving.url}/api/events") as stream:
            next(stream.iter_lines())
            code, out, err = serving.end(number)
    assert code == 0 and serving.url in out
    assert "everybody on this machine may do everything" in err and "Traceback" not in err


def test_a_port_that_somebody_has_is_told(broker, run):
    ended = run("serve", "--listen", f"127.0.0.1:{broker.port}")
    assert ended.returncode == 2 and "cannot listen at 127.0.0.1" in ended.stderr


def test_with_a_certificate_it_speaks_https_and_cookies_are_for_that(broker, place, tmp_path, run):
    authority, _ = Authority.make("test")
    certificate = authority.certificate.public_bytes(Encoding.PEM)
    issued = authority.issue_server(["localhost", "127.0.0.1"], 30)
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.write_bytes(issued.certificate)
    key.write_bytes(issued.key)
    assert run("user", "add", "anna", MQBOARD_USER_PASSWORD=PASSWORD).returncode == 0
    trust = ssl.create_default_context(cadata=certificate.decode())
    with Serving(broker, place, "--cert", cert, "--key", key, scheme="https") as serving:
        serving.wait(verify=trust)
        data = {"user": "anna", "password": PASSWORD}
        answer = httpx.post(f"{serving.url}/login", data=data, verify=trust)
    assert answer.status_code == 303 and "strict-transport-security" in answer.headers
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-mqboard=") and "; secure" in cookie


@pytest.mark.parametrize(
    "words, sentence",
    [
        (["--listen", "0.0.0.0:8080"], "Make users first"),
        (["--listen", "nowhere"], "no address to listen at"),
        (["--cert", "x.pem"], "--cert and --key go together"),
        (["--cert", "x.pem", "--key", "y.pem"], "cannot be used"),
        (["--proxy-header", "X-User"], "go together"),
        (["--url", "fleet"], "no address as"),
    ],
)
def test_a_line_that_is_not_safe_or_makes_no_sense_is_refused(run, words, sentence):
    ended = run("serve", *words)
    assert ended.returncode == 2 and sentence in " ".join(ended.stderr.split()), ended.stderr


def test_without_a_broker_it_does_not_begin(capsys, place):
    line = command_line(free_port(), "", "fleet", "serve", "--database", place)
    assert here(capsys, line).returncode == 3


def test_users_are_added_listed_changed_and_removed(run):
    assert run("user", "add", "anna", MQBOARD_USER_PASSWORD=PASSWORD).returncode == 0
    assert run("user", "add", "ci", "--role", "update", "--no-password").returncode == 0
    assert run("user", "role", "anna", "operate").returncode == 0
    assert run("user", "password", "anna", MQBOARD_USER_PASSWORD="another one").returncode == 0
    token = run("user", "token", "ci", "--label", "nightly", "--role", "update").stdout.strip()
    assert len(token) > 40
    made = run("user", "token", "anna", "--role", "update", "--json")
    assert json.loads(made.stdout)["gives"] == "operate" and "may only operate" in made.stderr
    run("user", "token", "anna", "--label", "script", "--remove")
    listed = json.loads(run("user", "list", "--json").stdout)
    facts = [(one["name"], one["role"], one["password"], one["tokens"]) for one in listed]
    assert facts == [("anna", "operate", True, 0), ("ci", "update", False, 1)]
    assert "nightly" in run("user", "token", "ci", "--label", "nightly", "--remove").stdout
    assert run("user", "remove", "anna").returncode == 0
    assert "anna" not in run("user", "list").stdout


@pytest.mark.parametrize(
    "words, sentence",
    [
        (("add", "anna"), "It takes a password"),
        (("add", "a b"), "no name for a user"),
        (("remove", "nobody"), "There is no user nobody"),
        (("role", "nobody", "look"), "There is no user nobody"),
        (("token", "nobody"), "There is no user nobody"),
        (("token", "nobody", "--remove"), "has no token"),
    ],
)
def test_a_user_that_cannot_be_is_told(run, words, sentence):
    ended = run("user", *words, MQBOARD_USER_PASSWORD="")
    assert ended.returncode == 2 and sentence in ended.stderr, ended.stderr


def test_a_password_is_asked_for_and_not_an_option(run, monkeypatch):
    monkeypatch.delenv("MQBOARD_USER_PASSWORD", raising=False)
    ended = run("user", "add", "anna")
    assert ended.returncode == 2 and "MQBOARD_USER_PASSWORD" in ended.stderr


def test_the_audit_tells_what_was_done_and_filters(run, place):
    run("user", "add", "anna", "--role", "update", MQBOARD_USER_PASSWORD=PASSWORD)
    run("user", "token", "anna", "--label", "ci")
    run("user", "remove", "anna")
    told = json.loads(run("audit", "--json").stdout)
    words = [(one["what"], one["result"]) for one in told]
    expected = [("user add anna", "update"), ("user token anna ci", "made, look")]
    assert words == [*expected, ("user remove anna", "removed")]
    assert all("@" in one["who"] and one["board"] is None for one in told)
    one = json.loads(run("audit", "--what", "user add", "--since", "1h", "--json").stdout)
    assert [entry["what"] for entry in one] == ["user add anna"]
    assert run("audit", "--board", "farm/pump", "--json").stdout.strip() == "[]"
    assert "user remove anna" in run("audit", "--last", "1").stdout
    assert run("audit", "--since", "soon").returncode == 2
    with Store(place) as store:
        assert not any(PASSWORD in entry.result + entry.what for entry in store.entries())
