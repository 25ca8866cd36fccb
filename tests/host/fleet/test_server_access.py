"""Tests who may come in: passwords, roles, sessions, tokens, proxies, and pages of others."""

import time
from pathlib import Path

import pytest
from fakeboard import FakeBoard
from serving import Served

from mqhost.errors import UsageError
from mqhost.fleet.server.door.access import Access
from mqhost.fleet.server.door.attempts import Attempts
from mqhost.fleet.server.door.users import Users
from mqhost.fleet.store.accounts import SESSION, Accounts

PASSWORD = "a long password"


@pytest.fixture(scope="module")
def one(broker, tmp_path_factory):
    with Served(broker, tmp_path_factory.mktemp("state") / "fleet.db") as running:
        yield running


@pytest.fixture
def served(one):
    one.without_users()
    return one


@pytest.fixture
def anna(served):
    served.fleet.users.add("anna", "operate", PASSWORD)
    return "anna"


def me(client, **headers):
    return client.get("/api/me", headers=headers)


# On this machine


def test_without_users_everybody_on_this_machine_may_do_everything(served):
    assert me(served.http).json() == {"name": "local", "role": "update"}


def test_without_users_nobody_comes_in_through_a_proxy(served):
    answer = me(served.http, **{"X-Forwarded-For": "203.0.113.7"})
    assert answer.status_code == 403 and "fleet user add" in answer.json()["error"]


@pytest.mark.parametrize("name", ["evil.example", "evil.example:80", "[::1", "localhost.evil", ""])
def test_a_name_that_is_not_ours_is_refused(served, name):
    answer = served.http.get("/api/boards", headers={"Host": name})
    assert answer.status_code in (400, 403) and "boards" not in answer.text.partition("error")[0]


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "[::1]:8080", "LOCALHOST:1"])
def test_our_names_are_taken(served, name):
    assert me(served.http, Host=name).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_page_of_others_changes_nothing(served, headers):
    where = {"prefix": "a/b"}
    answer = served.http.post("/api/board/reset", params=where, json={}, headers=headers)
    assert answer.status_code == 403 and "not ours" in answer.json()["error"]


@pytest.mark.parametrize("path", ["/api/boards", "/api/events", "/api/board/info?prefix=a/b"])
@pytest.mark.parametrize("mode", ["cors", "no-cors", "websocket"])
def test_a_page_of_others_fetches_nothing(served, path, mode):
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": mode}
    assert served.http.get(path, headers=headers).status_code == 403


def test_a_link_to_us_may_be_anywhere(served):
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert me(served.http, **headers).status_code == 200


def test_a_page_of_ours_gets_through(served):
    headers = {"Origin": served.url, "Sec-Fetch-Site": "same-origin"}
    where = {"prefix": "a/b"}
    answer = served.http.post("/api/board/reset", params=where, json={}, headers=headers)
    assert answer.status_code == 404


def test_browsers_are_told_what_our_pages_may_do(served):
    for path in ("/api/me", "/healthz", "/no/such/page"):
        headers = served.http.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"


# Passwords and sessions


def test_with_users_nobody_comes_in_without_one(served, anna):
    assert me(served.http).status_code == 401
    answer = served.http.get("/some?a=1&b", headers={"Accept": "text/html"})
    assert answer.status_code == 404  # nothing is there, and nothing is told
    for path in ("/api/boards", "/api/events", "/api/jobs", "/api/images"):
        answer = served.http.get(path)
        assert answer.status_code == 401, path


def test_a_password_lets_in_and_logging_out_ends_that(served, anna):
    client = served.login(anna, PASSWORD)
    assert me(client).json() == {"name": "anna", "role": "operate"}
    stolen = dict(client.cookies)
    token = csrf(served, client)
    assert client.post("/logout", headers={"X-CSRF-Token": token}).status_code == 303
    assert me(client).status_code == 401
    assert me(served.client(cookies=stolen)).status_code == 401


def csrf(served, client):
    """Return the token of the page, as a script of the page has it."""
    client.get("/api/token")
    return client.cookies.get("mqboard-csrf", "")


@pytest.mark.parametrize("user, password", [("anna", "wrong"), ("nobody", PASSWORD), ("", "")])
def test_a_wrong_password_stays_out(served, anna, user, password):
    client = served.client()
    answer = client.post("/login", data={"user": user, "password": password})
    assert answer.status_code in (401, 422) and PASSWORD not in answer.text
    assert me(client).status_code == 401


def test_a_wrong_password_in_a_browser_leads_back_to_the_form(served, anna):
    data = {"user": "anna", "password": "wrong", "next": "/board?prefix=a/b"}
    answer = served.http.post("/login", data=data, headers={"Accept": "text/html"})
    assert answer.status_code == 303
    assert answer.headers["location"] == "/login?wrong=1&next=/board%3Fprefix%3Da/b"


@pytest.mark.parametrize(
    "next_", ["https://evil.example", "//evil.example", "/\\evil", "x", "/a\n"]
)
def test_nobody_is_led_elsewhere_by_logging_in(served, anna, next_):
    data = {"user": "anna", "password": PASSWORD, "next": next_}
    assert served.http.post("/login", data=data).headers["location"] == "/"


def test_who_guesses_has_to_wait_and_even_the_right_password_does_not_help(served, anna):
    for _ in range(5):
        data = {"user": "anna", "password": "wrong"}
        assert served.http.post("/login", data=data).status_code == 401
    answer = served.http.post("/login", data={"user": "anna", "password": PASSWORD})
    assert answer.status_code == 429 and int(answer.headers["retry-after"]) >= 1


def test_waiting_grows_and_is_forgotten():
    now = [0.0]
    attempts = Attempts(lambda: now[0])
    waits = []
    for _ in range(9):
        attempts.wrong("anna", "1.2.3.4")
        waits.append(attempts.wait("anna", "5.6.7.8"))
    assert waits == [0, 0, 0, 0, 2, 4, 8, 16, 32]
    assert attempts.wait("bert", "1.2.3.4") == 0
    now[0] = 33
    assert attempts.wait("anna", "1.2.3.4") == 0
    attempts.right("anna")
    attempts.wrong("anna", "1.2.3.4")
    assert attempts.wait("anna", "1.2.3.4") == 0


def test_an_address_that_tries_many_names_has_to_wait():
    attempts = Attempts(lambda: 0.0)
    for number in range(20):
        attempts.wrong(f"user{number}", "1.2.3.4")
    assert attempts.wait("another", "1.2.3.4") > 0 and attempts.wait("another", "1.2.3.5") == 0


def test_many_names_do_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr("mqhost.fleet.server.door.attempts._MOST", 50)
    attempts = Attempts(lambda: 0.0)
    for number in range(1000):
        attempts.wrong(f"user{number}", f"address{number}")
    assert len(attempts._wrong) <= 52


def test_that_a_name_exists_is_not_told_by_the_time(served, anna):
    users = Users(Accounts(served.store.database))  # with the costs that it really has
    users.change(anna, password=PASSWORD)

    def seconds(name):
        start = time.thread_time()
        assert users.check(name, "wrong password") is None
        return time.thread_time() - start

    known, unknown = (min(seconds(name) for _ in range(3)) for name in ("anna", "nobody"))
    assert 0.5 < unknown / known < 2


def test_a_session_ends_with_its_user_password_or_role(served, anna):
    served.fleet.users.add("bert", "look", PASSWORD)
    users = served.fleet.users
    for change in (
        lambda: users.change("anna", password="another password"),
        lambda: users.change("anna", role="look"),
        lambda: users.remove("anna"),
    ):
        secret = users.login(users.named("anna"))
        assert users.of_session(secret)
        change()
        assert users.of_session(secret) is None


def test_a_session_ends_after_a_week(served, anna):
    accounts = Accounts(served.store.database)
    secret = accounts.issue("anna", SESSION, "look", seconds=0.01)
    time.sleep(0.02)
    assert accounts.known(secret, SESSION) is None


def test_a_cookie_that_was_made_up_is_none(served, anna):
    for value in ("x", "eyJzZWNyZXQiOiAieCJ9.a.b", "null"):
        assert me(served.client(cookies={"mqboard": value})).status_code == 401


def test_cookies_are_for_the_browser_alone(served, anna):
    answer = served.http.post("/login", data={"user": "anna", "password": PASSWORD})
    (cookie,) = answer.headers.get_list("set-cookie")
    assert cookie.startswith("mqboard=") and "httponly" in cookie and "samesite=lax" in cookie
    assert "secure" not in cookie


def test_behind_https_cookies_are_for_https_alone(broker, tmp_path):
    access = {"urls": ("https://fleet.example.org",)}
    with Served(broker, tmp_path / "fleet.db", access) as served:
        served.fleet.users.add("anna", "look", PASSWORD)
        answer = served.http.post(
            "/login",
            data={"user": "anna", "password": PASSWORD},
            headers={"Host": "fleet.example.org", "Origin": "https://fleet.example.org"},
        )
    (cookie,) = answer.headers.get_list("set-cookie")
    assert cookie.startswith("__Host-mqboard=") and "secure" in cookie and "path=/" in cookie


def test_a_session_changes_nothing_without_the_token_of_its_page(served, anna):
    client = served.login(anna, PASSWORD)
    for content in ({"json": {}}, {"data": {"mode": ""}}, {"content": b""}):
        answer = client.post("/api/board/reset", params={"prefix": "a/b"}, **content)
        assert answer.status_code == 403 and "token of the page" in answer.json()["error"]
    token = csrf(served, client)
    for wrong in ("", "x", token[:-1] + "~", "ä"):
        headers = {"X-CSRF-Token": wrong.encode()}
        answer = client.post("/api/board/reset", params={"prefix": "a/b"}, json={}, headers=headers)
        assert answer.status_code == 403
    for kind in ("multipart/form-data", "application/x-www-form-urlencoded"):
        headers = {"Content-Type": kind}
        answer = client.post("/logout", content="csrf_token=ä".encode(), headers=headers)
        assert answer.status_code == 403
    headers = {"X-CSRF-Token": token}
    answer = client.post("/api/board/reset", params={"prefix": "a/b"}, json={}, headers=headers)
    assert answer.status_code == 404


# Roles and tokens


@pytest.mark.parametrize(
    "role, path, body, enough",
    [
        ("look", "reset", {}, False),
        ("look", "eval", {"code": "1"}, False),
        ("look", "config", {"set": {"log.level": "debug"}}, False),
        ("look", "crashes/clear", None, False),
        ("operate", "reset", {}, True),
        ("operate", "eval", {"code": "1"}, True),
        ("operate", "update", {"image": "0" * 64}, False),
        ("update", "update", {"image": "0" * 64}, True),
    ],
)
def test_roles(served, role, path, body, enough):
    served.fleet.users.add("anna", role, PASSWORD)
    token = served.fleet.users.token("anna", "test", role)
    answer = served.http.post(
        f"/api/board/{path}",
        params={"prefix": "a/b"},
        json=body,
        headers={"Authorization": f"Bearer {token}"},
    )
    assert answer.status_code in ((404, 400) if enough else (403,)), answer.text


def test_a_token_gives_no_more_than_its_own_role(served, anna):
    token = served.fleet.users.token(anna, "script", "look")
    assert me(served.http, Authorization=f"Bearer {token}").json()["role"] == "look"
    served.fleet.users.change(anna, role="look")
    token = served.fleet.users.token(anna, "script", "update")
    assert me(served.http, Authorization=f"bearer {token}").json()["role"] == "look"


def test_a_token_ends_with_its_user_and_when_it_is_removed(served, anna):
    users, accounts = served.fleet.users, Accounts(served.store.database)
    token = users.token(anna, "script", "look")
    accounts.revoke_token(anna, "script")
    answer = me(served.http, Authorization=f"Bearer {token}")
    assert answer.status_code == 401 and token not in answer.text
    token = users.token(anna, "script", "look")
    users.remove(anna)
    assert me(served.http, Authorization=f"Bearer {token}").status_code == 401


def test_secrets_are_kept_as_hashes_only(served, anna):
    users = served.fleet.users
    shown = [PASSWORD, users.token(anna, "t", "look"), users.login(users.named(anna))]
    folder = Path(served.store.database.url.database).parent
    kept = b"".join(path.read_bytes() for path in folder.glob("fleet.db*"))
    assert b"anna" in kept and not any(secret.encode() in kept for secret in shown)


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "local", "ä", "../x", "-x"])
def test_a_name_that_is_none_is_refused(served, name):
    with pytest.raises(UsageError):
        served.fleet.users.add(name, "look", PASSWORD)


@pytest.mark.parametrize("password", ["short", "x" * 1025])
def test_a_password_that_is_none_is_refused(served, password):
    with pytest.raises(UsageError, match="8 to 1,024"):
        served.fleet.users.add("anna", "look", password)


def test_who_may_only_look_sees_neither_code_nor_what_it_printed(served, anna, broker, prefix):
    users = served.fleet.users
    users.add("bert", "look", PASSWORD)
    headers = [
        {"Authorization": f"Bearer {users.token(name, 't', role)}"}
        for name, role in (("anna", "operate"), ("bert", "look"))
    ]
    where = {"prefix": prefix}
    with FakeBoard(broker.port, prefix):
        served.board(prefix)
        code = {"code": "print('tell' + 'tale')"}
        served.http.post("/api/board/eval", params=where, json=code, headers=headers[0])
    for path in ("/api/jobs", "/api/audit"):
        one, other = (served.http.get(path, params=where, headers=each).text for each in headers)
        assert "print(" in one and "eval" in other
        assert "print(" not in other and "telltale" not in other and "printed" not in other
    assert "telltale" in served.http.get("/api/jobs", params=where, headers=headers[0]).text
    assert "telltale" not in str(served.store.entries(board=prefix))


# Proxies


@pytest.fixture(scope="module")
def proxied(broker, tmp_path_factory):
    access = {"header": "X-Forwarded-User", "proxies": ("127.0.0.1",)}
    with Served(broker, tmp_path_factory.mktemp("state") / "fleet.db", access) as running:
        running.fleet.users.add("anna", "operate", None)
        yield running


def test_whom_a_proxy_names_has_his_role(proxied):
    assert me(proxied.http, **{"X-Forwarded-User": "anna"}).json()["role"] == "operate"


def test_whom_a_proxy_names_and_nobody_knows_stays_out(proxied):
    answer = me(proxied.http, **{"X-Forwarded-User": "bert"})
    assert answer.status_code == 403 and "bert" in answer.json()["error"]
    assert me(proxied.http).status_code == 401


def test_who_is_named_twice_stays_out(proxied):
    headers = [("X-Forwarded-User", "anna"), ("X-Forwarded-User", "anna")]
    assert proxied.http.get("/api/me", headers=headers).status_code == 403


def test_a_header_from_elsewhere_is_not_believed(broker, tmp_path):
    access = {"header": "X-Forwarded-User", "proxies": ("10.0.0.0/8",)}
    with Served(broker, tmp_path / "fleet.db", access) as served:
        served.fleet.users.add("anna", "update", None)
        assert me(served.http, **{"X-Forwarded-User": "anna"}).status_code == 401


def test_behind_a_proxy_who_guesses_is_told_apart(proxied):
    def login(address):
        return proxied.http.post(
            "/login",
            data={"user": address, "password": "wrong"},
            headers={"X-Forwarded-For": f"203.0.113.9, {address}"},
        ).status_code

    for _ in range(5):
        assert login("198.51.100.1") == 401
    assert login("198.51.100.1") == 429 and login("198.51.100.2") == 401
    assert "address 198.51.100.1" in proxied.fleet.attempts._wrong
    assert "address 127.0.0.1" not in proxied.fleet.attempts._wrong


def test_one_without_a_password_cannot_log_in(proxied):
    answer = proxied.http.post("/login", data={"user": "anna", "password": ""})
    assert answer.status_code in (401, 422)
    answer = proxied.http.post("/login", data={"user": "anna", "password": "None"})
    assert answer.status_code == 401


# Where it may listen


@pytest.mark.parametrize(
    "line, users, words",
    [
        ({"listen": "0.0.0.0:8080"}, False, "everybody in the network"),
        ({"listen": "0.0.0.0:8080"}, True, "passwords could be read"),
        ({"listen": "[::]:8080", "urls": ("http://fleet.example.org",)}, True, "could be read"),
    ],
)
def test_it_listens_to_others_only_where_that_is_safe(line, users, words):
    with pytest.raises(UsageError, match=words):
        Access.parse(**line).check(users)


@pytest.mark.parametrize(
    "line, users",
    [
        ({}, False),
        ({"listen": "localhost:80"}, False),
        ({"listen": "127.0.0.2:80"}, False),
        ({"listen": "0.0.0.0:8080", "tls": True}, True),
        ({"listen": "0.0.0.0:8080", "urls": ("https://fleet.example.org",)}, True),
    ],
)
def test_it_may_listen(line, users):
    Access.parse(**line).check(users)


@pytest.mark.parametrize(
    "line",
    [
        {"listen": "x"},
        {"listen": "a:0"},
        {"listen": "a:99999"},
        {"listen": "a:²"},
        {"urls": ("fleet.example.org",)},
        {"urls": ("ftp://x",)},
        {"urls": ("https://x/path",)},
        {"header": "X-User"},
        {"proxies": ("127.0.0.1",)},
        {"header": "X User", "proxies": ("127.0.0.1",)},
        {"header": "X-User", "proxies": ("everywhere",)},
    ],
)
def test_a_line_that_makes_no_sense_is_refused(line):
    with pytest.raises(UsageError):
        Access.parse(**line)
