"""Tests the setup network on a real board: by a client of HTTP, good, hostile and slow."""

import http.client
import json
import socket
import time
import urllib.parse

from waiting import wait_until

KEY = "apple-river-42"
SETUP = {"password": KEY}
UPDATE = {"health_s": 0.5, "confirm_s": 6}


def wait_open(device, since=0):
    return device.wait_console("setup network mqboard-", since=since)


class Page:
    """The page of a board."""

    def __init__(self, device):
        self.port = device.networks.port_of(80)

    def ask(self, method="GET", path="/", body=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode(), answer.headers
        finally:
            connection.close()

    def post(self, **fields):
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        return self.ask("POST", body=urllib.parse.urlencode(fields), **form)[:2]


def test_a_new_board_takes_its_configuration_from_a_page(make_board):
    board = make_board(prefix=None, networks=None, setup=SETUP, update=UPDATE)
    board.prefix = "e2e/set-up"
    device = board.device
    since = wait_open(device)
    name, key = device.networks.access_point
    assert name.startswith("mqboard-") and key == KEY
    page = Page(device)
    status, text, headers = page.ask()
    assert status == 200 and "<form" in text and KEY not in text
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    fields = {"ssid": "simnet", "host": board.broker.host, "port": board.broker.port}

    status, text = page.post(**fields, wifi="short", prefix="a/#")  # refused as by mqboard
    assert status == 400
    assert "prefix is" in text and "networks.0.password cannot be so" in text
    assert 'value="simnet"' in text and "short" not in text

    status, text = page.post(**fields, wifi="wrong password", prefix=board.prefix)
    assert status == 200 and "The board tries it now" in text
    since = device.wait_console("the new configuration failed", 40, since)
    since = wait_open(device, since)
    assert "it did not get onto a network within 6 s" in page.ask()[1]

    assert page.post(**fields, wifi="simpassword", prefix=board.prefix)[0] == 200
    board.wait_online()
    board.wait_settled()
    assert device.networks.access_point is None
    kept = json.loads(board.eval("open('/config.json').read()").strip("'"))
    assert kept["setup"]["password"] == KEY
    device.press_reset()
    board.wait_online()
    assert device.networks.access_point is None  # it has a configuration now


def test_the_page_stands_what_strangers_send(make_board):
    board = make_board(prefix=None, networks=None, setup=SETUP)
    device = board.device
    wait_open(device)
    page = Page(device)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for status, asked in (
        (302, {"Host": "captive.apple.com"}),
        (403, {"Host": "evil.example", "method": "POST", "body": "ssid=a", **form}),
        (403, {"Origin": "http://evil.example", "method": "POST", "body": "ssid=a", **form}),
        (404, {"path": "/config.json"}),
        (405, {"method": "PUT"}),
        (413, {"method": "POST", "body": "x" * 7000, **form}),
        (415, {"method": "POST", "body": "{}", "Content-Type": "application/json"}),
        (431, {"X-Long": "y" * 5000}),
        (400, {"method": "POST", "body": "ssid=%zz", **form}),
    ):
        headers = {key: value for key, value in asked.items() if key[0].isupper()}
        rest = {key: value for key, value in asked.items() if not key[0].isupper()}
        found, _, answered = page.ask(**rest, **headers)
        assert found == status, asked
        if status == 302:
            assert answered["Location"] == "http://127.0.0.1/"

    slow = [socket.create_connection(("127.0.0.1", page.port)) for _ in range(4)]
    try:
        for each in slow:
            each.sendall(b"GET / HT")
        began = time.monotonic()
        wait_until(lambda: _answers(page), 40)  # the slow ones have had their time
        assert time.monotonic() - began < 30
    finally:
        for each in slow:
            each.close()

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(5)
        where = ("127.0.0.1", device.networks.port_of(53))
        asking.sendto(b"\xff" * 600, where)
        asking.sendto(b"\x12\x34\1\0\0\1\0\0\0\0\0\0\7example\3com\0\0\1\0\1", where)
        assert asking.recv(600)[-4:] == bytes((127, 0, 0, 1))
    assert len(device.boots) == 1


def test_who_is_not_in_the_setup_network_gets_nothing(make_board):
    board = make_board(prefix=None, networks=None, setup=SETUP)
    device = board.device
    wait_open(device)
    page = Page(device)
    stranger = ("127.0.1.1", 0)  # the access point has 127.0.0.*
    where = ("127.0.0.1", page.port)
    with socket.create_connection(where, 10, source_address=stranger) as outside:
        try:
            outside.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert outside.recv(600) == b""
        except (ConnectionResetError, BrokenPipeError):
            pass  # closed sooner
    assert page.ask()[0] == 200

    question = b"\x12\x34\1\0\0\1\0\0\0\0\0\0\7example\3com\0\0\1\0\1"
    where = ("127.0.0.1", device.networks.port_of(53))
    udp = (socket.AF_INET, socket.SOCK_DGRAM)
    with socket.socket(*udp) as outside, socket.socket(*udp) as inside:
        outside.bind(stranger)
        outside.setblocking(False)
        inside.settimeout(5)
        for asking in (outside, inside):  # in this order they are read
            asking.sendto(question, where)
        assert inside.recv(600)
        try:
            raise AssertionError(outside.recv(600))
        except BlockingIOError:
            pass


def _answers(page):
    try:
        return page.ask()[0] == 200
    except OSError:
        return False
    except http.client.HTTPException:
        return False


def test_a_board_out_of_reach_opens_it_as_configured_and_closes_it_when_it_is_back(make_board):
    board = make_board(setup=SETUP | {"after_s": 4}, update=UPDATE)
    board.wait_settled()
    device = board.device
    device.wifi(False)
    since = wait_open(device)
    device.wifi(True)  # while it is open the radio tries no network; a new one is given
    device.wifi(False, "simnet")
    device.wifi(True, "moved", password="another one")
    page = Page(device)
    assert page.post(ssid="moved", wifi="another one")[0] == 200
    device.wait_console("on network moved", 40, since)
    board.wait_online()
    board.wait_settled()


def test_without_setup_there_is_no_setup_network(make_board):
    board = make_board(prefix=None, networks=None)
    board.device.wait_console("This board does not know its network")
    assert board.device.networks.access_point is None
