"""Tests a board that reaches its broker over TLS, from provisioning to a lost filesystem."""

import itertools
import json
import socket
import struct
import threading

import pytest
from certificates import FUTURE, Authority
from nameserver import NameServer, address, answer
from waiting import wait_until

from mqhost.cli.terminal.questions import Questions
from mqhost.link.boardconfig import CA_PATH, CERT_PATH, KEY_PATH, Wish
from mqhost.link.session import Session
from mqhost.link.settings import Settings
from mqhost.repl import start
from mqhost.sim.broker import HOST, Broker, free_port
from mqhost.sim.device import Device
from mqhost.sim.filesystem import default_config
from mqhost.usb.flashing import flash
from mqhost.usb.provision import CONFIG_PATH, Provision, provision

BOOT = 60.0
SECRETS = {"MQBOARD_WIFI_PASSWORD": "simpassword"}


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def broker(authority):
    """Run a broker with a plain port for us, and as `secure` one with TLS for the board."""
    secure = free_port()
    with Broker(extra=[f"listener {secure} {HOST}", *authority.listener()]) as running:
        running.secure = secure
        yield running


@pytest.fixture
def make_tls_board(make_board, firmware):
    """Give make_tls_board(where, files) -> Board with `where` as its configuration's broker."""

    def make(where, files, image=None, **changes):
        prefix = f"tls/{next(numbers)}"
        config = default_config(prefix, "", 0, health_s=0.5) | {"broker": where} | changes
        files = files | {CONFIG_PATH: json.dumps(config).encode()}
        board = make_board(image or firmware, files=files)
        board.prefix = prefix
        return board

    numbers = itertools.count()
    return make


def over_tls(broker, **more):
    return {"host": "localhost", "port": broker.secure, "ca": CA_PATH} | more


def test_a_provisioned_board_uses_tls(tmp_path, sim, firmware, broker, authority):
    path, prefix = tmp_path / "chip.flash", "tls/provisioned"
    base = tmp_path / "board.json"
    wanted = {"networks": [], "broker": {}, "prefix": prefix, "update": {"health_s": 0.5}}
    base.write_text(json.dumps(wanted))
    wish = Wish("simnet", f"localhost:{broker.secure}", prefix)
    questions = Questions(None, None, SECRETS)
    what = Provision.make(wish, config=base, ca=authority.ca, secret=questions.secret)
    flash(sim, f"sim:{path}", folder=firmware.folder)
    provision(sim, what, f"sim:{path}")
    table = sim.table
    settings = Settings(server=broker.host, port=broker.port, prefix=prefix)
    with Device(path, table=table, name="tls") as device, Session(settings) as session:
        device.wait_for(lambda _: session.births, BOOT, "its birth")
        assert json.loads(session.request("info").data)["state"] == "online"


def test_a_lost_filesystem_costs_neither_broker_nor_trust(make_tls_board, broker, authority):
    files = {CA_PATH: authority.ca.read_bytes()}
    board = make_tls_board(over_tls(broker), files)
    board.wait_settled()
    board.eval(f"import os; os.remove('/config.json'); os.remove('{CA_PATH}')")
    with board.session() as session:
        old = board.wait_online()["boot_id"]
        session.request("reset")
        board.wait_status(session, lambda status: status["boot_id"] != old, BOOT)
    board.device.wait_console("using what was kept")
    board.wait_settled()
    assert board.eval(f"open('{CA_PATH}').read()") == repr(authority.ca.read_text())
    for path in (CA_PATH, "/config.json"):
        board.device.wait_console(f"{path} was missing: written back")
    assert "cannot be kept" not in board.device.console.text()


def test_a_fall_back_broker_is_trusted_by_its_own_ca(make_tls_board, broker, authority, tmp_path):
    """The first one is not there: nobody knows whether its CA is any good, and it is not kept."""
    where = {"host": "localhost", "port": free_port(), "ca": "/first.pem"}
    where["fallback"] = {"host": "localhost", "port": broker.secure, "ca": CA_PATH}
    files = {CA_PATH: authority.ca.read_bytes(), "/first.pem": Authority(tmp_path).ca.read_bytes()}
    board = make_tls_board(where, files)
    board.wait_online(BOOT)
    board.wait_settled()
    kept = "__import__('esp32').NVS('mqboard').get_blob('ca', bytearray(4000))"
    assert board.mqboard("eval", kept)[0] == 1
    board.device.wait_console("using the fall-back broker localhost")


def test_a_lost_filesystem_costs_no_trust_in_the_fall_back_broker(
    make_tls_board, broker, authority
):
    with Broker() as first:
        where = {"host": first.host, "port": first.port, "tls": False}
        where["fallback"] = over_tls(broker, tls=True)
        board = make_tls_board(where, {CA_PATH: authority.ca.read_bytes()})
        settings = Settings(first.host, first.port, prefix=board.prefix, tls=False)
        with Session(settings) as session:
            wait_until(lambda: session.births, BOOT)
            wait_until(lambda: session.request("eval", b"board.settled").data == b"True", BOOT)
            remove = f"import os; os.remove('/config.json'); os.remove('{CA_PATH}')"
            session.request("eval", remove.encode())
            session.request("reset")
    board.wait_online(BOOT)
    board.device.wait_console("using what was kept")
    board.wait_settled()
    assert board.eval(f"open('{CA_PATH}').read()") == repr(authority.ca.read_text())


def test_a_board_without_memory_for_copies_settles(make_tls_board, broker, authority, variant):
    image = variant("full", {"mqboard/copies.py": "raise MemoryError('of copies')\n"})
    board = make_tls_board(over_tls(broker), {CA_PATH: authority.ca.read_bytes()}, image)
    board.wait_settled()
    assert "certificates cannot be kept in NVS: of copies" in board.device.console.text()
    assert "died" not in board.device.console.text()


def test_who_configures_a_board_hears_which_certificate_has_no_copy(
    make_tls_board, broker, authority
):
    files = {CA_PATH: authority.ca.read_bytes(), "/large.pem": b"-----BEGIN" + bytes(5000)}
    board = make_tls_board(over_tls(broker), files)
    board.wait_settled()
    where = f"broker.fallback.host=localhost broker.fallback.port={broker.secure}"
    line = [*where.split(), "broker.fallback.ca=/large.pem"]
    code, out, err = board.mqboard("config", "set", *line)
    assert (code, err) == (0, "")
    assert "The board keeps no copy of /large.pem, for it is too large" in out
    board.device.wait_console("/large.pem cannot be kept in NVS: it is too large")


@pytest.mark.parametrize("damage", ["''", "open({0!r}).read()[:200]"], ids=["empty", "cut"])
def test_a_damaged_file_never_replaces_its_good_copy(make_tls_board, broker, authority, damage):
    board = make_tls_board(over_tls(broker), {CA_PATH: authority.ca.read_bytes()})
    board.wait_settled()
    board.eval(f"text = {damage.format(CA_PATH)}\nwith open({CA_PATH!r}, 'w') as f: f.write(text)")
    for _ in range(2):
        with board.session() as session:
            old = board.wait_online()["boot_id"]
            session.request("reset")
            board.wait_status(session, lambda status, old=old: status["boot_id"] != old, BOOT)
        board.wait_settled()
    said = f"{CA_PATH} cannot be kept in NVS: the broker was reached with the copy"
    board.device.wait_console(said)


def test_another_ca_is_tried_without_the_copy_of_the_old_one(make_tls_board, broker, authority):
    files = {CA_PATH: authority.ca.read_bytes(), "/new.pem": b"-----BEGIN CERTIFICATE-----"}
    board = make_tls_board(over_tls(broker), files, update={"health_s": 0.5, "confirm_s": 3})
    board.wait_online()
    code, _, err = board.mqboard("config", "set", "broker.ca=/new.pem")
    assert code == 1 and "did not reach its broker within 3 s" in err


def test_code_that_blocks_is_served_over_tls_as_well(make_tls_board, broker, authority):
    where = over_tls(broker, keepalive=2)
    board = make_tls_board(where, {CA_PATH: authority.ca.read_bytes()}, watchdog={"timeout_s": 30})
    board.wait_online(BOOT)
    with board.session() as session:
        code = "for i in range(5000): print('%099d' % i)"
        assert sum(map(len, start(session, code))) == 500_000
        for blocking in ("while True: pass", "import time\ntime.sleep(60)", "while 1: print(1)"):
            run = start(session, f"print('on')\n{blocking}")
            for part in run:
                if part.startswith(b"on"):
                    run.interrupt()
            assert run.result.cancelled, blocking
        code = (
            "import time\nprint(board.client.connects)\ntime.sleep(5)\nprint(board.client.connects)"
        )
        assert b"".join(start(session, code)) == b"1\n1\n"


@pytest.fixture
def strict(authority):
    """Run a broker that wants a client certificate; `heard` is its log."""
    lines = [*authority.listener(), f"cafile {authority.ca}", "require_certificate true"]
    heard = []
    with Broker(extra=lines, tls=True, log=heard.append) as running:
        running.heard = heard
        yield running


def test_a_client_certificate_and_a_password(make_tls_board, strict, authority):
    cert, key = authority.issue("board", kind="rsa")
    files = {CA_PATH: authority.ca, CERT_PATH: cert, KEY_PATH: key}
    files = {name: path.read_bytes() for name, path in files.items()}
    where = {"host": "localhost", "port": strict.port, "ca": CA_PATH}
    board = make_tls_board(where, files)
    board.device.wait_console("does it want a client certificate", BOOT)
    board.device.power_off()
    where |= {"cert": CERT_PATH, "key": KEY_PATH, "user": "kitchen", "password": "p"}
    board = make_tls_board(where, files)
    board.device.wait_for(
        lambda _: any("u'kitchen'" in line for line in strict.heard), BOOT, "its name"
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"host": "127.0.0.1"}, "does not match"),
        ({"port": None}, "port for TLS"),
        ({"ca": "/certs/other.pem"}, "not correctly signed"),
        ({"ca": "/nothing.pem"}, "/nothing.pem cannot be read"),
    ],
    ids=["wrong name", "no TLS there", "unknown CA", "no CA"],
)
def test_a_board_never_goes_on_without_verification(
    make_tls_board, broker, authority, tmp_path, changes, words
):
    files = {CA_PATH: authority.ca.read_bytes()}
    files["/certs/other.pem"] = Authority(tmp_path, "other").ca.read_bytes()
    changes = {key: value or broker.port for key, value in changes.items()}
    board = make_tls_board(over_tls(broker) | changes, files)
    seen = board.device.wait_console(words, BOOT)
    board.device.wait_console(words, BOOT, since=seen)  # it tries again
    with board.session() as session:
        assert not session.births


def test_a_name_may_be_given(make_tls_board, broker, authority):
    where = over_tls(broker, host="127.0.0.1", server_name="localhost")
    make_tls_board(where, {CA_PATH: authority.ca.read_bytes()}).wait_online()


IN_2033, IN_2020 = 2_000_000_000, 1_600_000_000  # Unix times; 2033-05-18
TRUE = b"\x1c\x02"  # the beginning of an answer: version 3, server, stratum 2


def answer_of_time(question, when=IN_2033, start=TRUE, stamp=None):
    """Make an NTP server's answer to `question` at `when`; `stamp` replaces what it must repeat."""
    stamp = question[40:] if stamp is None else stamp
    return start + bytes(22) + stamp + bytes(8) + struct.pack(">II", when + 2_208_988_800, 0)


@pytest.fixture
def time_server(request):
    """Run an NTP server and give its port; the parameter makes its answers to a question."""
    answers = getattr(request, "param", lambda question: [answer_of_time(question)])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((HOST, 0))

        def answer():
            while True:
                try:
                    question, sender = server.recvfrom(100)
                except OSError:
                    return
                if not question:
                    return
                assert len(question) == 48 and question[0] & 7 == 3
                for text in answers(question):
                    server.sendto(text, sender)

        thread = threading.Thread(target=answer)
        thread.start()
        yield server.getsockname()[1]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
            end.sendto(b"", server.getsockname())
        thread.join()


def set_clock(board, port):
    """Have the board ask the NTP server at `port`, and set its clock."""
    ask(board, f"'127.0.0.1', {port}")


def ask(board, arguments):
    """Have the board set its clock to what mqboard.net.sntp.ask returns."""
    board.eval(f"""if True:
    import asyncio
    from mqboard.net import sntp
    async def go():
        try: board.clock.set(await sntp.ask({arguments}), "ntp", 0)
        except (OSError, ValueError) as error: print("no time:", error)
    asyncio.create_task(go())""")


def wait_days(board, wanted):
    """Wait until the board has that day; return the days that it had before."""
    days = []

    def reached():
        days.append(board.eval("__import__('time').gmtime()[:3]"))
        return days[-1] == wanted

    wait_until(reached, BOOT, lambda: f"only {set(days)}")
    return days[:-1]


def guesses(question):
    """Return answers of somebody who did not see the question, and the true one."""
    forged = [answer_of_time(question, stamp=stamp) for stamp in (bytes(8), b"\xff" * 8, b"")]
    return [*forged, b"", answer_of_time(question, when=IN_2033 + 86400)]


@pytest.mark.parametrize("time_server", [guesses], indirect=True)
def test_an_answer_to_another_question_is_passed_over(board, time_server):
    set_clock(board, time_server)
    days = wait_days(board, "(2033, 5, 19)")
    assert not [day for day in days if day.startswith("(2033")]


@pytest.mark.parametrize(
    ("time_server", "words"),
    [
        (
            lambda question: [answer_of_time(question, when=IN_2020)],
            "this firmware was made after that",
        ),
        (lambda question: [answer_of_time(question, start=b"\xdc\x02")], "no time in the answer"),
        (lambda question: [answer_of_time(question, start=b"\x1c\x00")], "no time in the answer"),
        (lambda question: [answer_of_time(question, start=b"\x1b\x02")], "no time in the answer"),
        (lambda question: [answer_of_time(question)[:44]], "no time in the answer"),
    ],
    indirect=["time_server"],
    ids=["before the firmware", "not synchronised", "kiss of death", "a client", "cut off"],
)
def test_a_time_that_cannot_be_is_not_set(board, time_server, words):
    set_clock(board, time_server)
    board.device.wait_console(words, BOOT)
    assert not board.eval("__import__('time').gmtime()[:3]").startswith(("(2033", "(2020"))


def test_the_clock_begins_with_the_firmware_and_is_set_by_ntp(board, time_server):
    built = board.wait_online()["built"]
    assert int(board.eval("__import__('time').time()")) + 946_684_800 >= built > 0
    set_clock(board, time_server)
    wait_days(board, "(2033, 5, 18)")


def ask_by_name(board, time_port, names_port):
    """Have the board ask the NTP server time.example, which the name server at a port knows."""
    board.eval(f"""if True:
    from mqboard import seldom
    from mqboard.net import dns
    seldom.MODULES = ()  # it stays, as it is changed here
    resolve = dns.resolve
    dns.resolve = lambda name, servers: resolve(name, servers, {names_port})""")
    ask(board, f"'time.example', {time_port}, '{HOST}'")


def test_the_time_servers_name_is_looked_up(board, time_server):
    board.wait_online()
    with NameServer(lambda query: [answer(query, address(HOST))]) as names:
        ask_by_name(board, time_server, names.port)
        wait_days(board, "(2033, 5, 18)")
    assert names.queries


def test_a_silent_name_server_does_not_stop_the_board(board, time_server):
    board.wait_online()
    with NameServer(lambda query: []) as names:
        ask_by_name(board, time_server, names.port)
        wait_until(lambda: names.queries, BOOT)
        assert board.eval("6*7") == "42"
        board.device.wait_console("no time: DNS: no answer from", BOOT)


def test_a_certificate_from_the_future_has_the_clock_set(make_tls_board, authority, tmp_path):
    """mbedTLS of the simulated board has the host's clock: asking is all that can be seen here."""
    with Broker(extra=authority.listener(valid=FUTURE), tls=True) as ahead:
        where = {"host": "localhost", "port": ahead.port, "ca": CA_PATH}
        files = {CA_PATH: authority.ca.read_bytes()}
        board = make_tls_board(where, files, ntp="127.0.0.1")
        board.device.wait_console("starts in the future; by our clock", BOOT)
        board.device.wait_console("no time from 127.0.0.1", BOOT)
