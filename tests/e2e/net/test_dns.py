"""Tests names, looked up without blocking, against a name server that may misbehave."""

import socket
import time

import pytest
from nameserver import NAME, NameServer, address, alias, answer, record
from standalone import Raised, Standalone

from mqhost.sim.broker import HOST, free_port

TOOLS = """
import os
from mqboard.net import dns, stream

ticks = 0

def sockets():
    return len(os.listdir("/proc/self/fd"))

async def tick():
    global ticks
    while True:
        ticks += 1
        await asyncio.sleep_ms(10)

class Link:
    def connected(self):
        return True

    def dns(self):
        return HOST

async def connect(host, port, names):
    async def resolve(name, servers):
        say("resolve", name, servers)
        return await real(name, servers, names)

    real = dns.resolve
    dns.resolve = resolve
    try:
        stream = await net.opener(Link(), host, port)()
        stream.close()
    finally:
        dns.resolve = real
"""
SOON = "dns._WAITS_S = (0.1, 0.1, 0.2)\n"  # for servers that say nothing
QUESTION = b"\x06broker\x07example\0\0\1\0\1"
ALIAS = b"\x04real\xc0\x13"  # real.example, by way of the question


@pytest.fixture(scope="module")
def program(alone, broker):
    with Standalone(alone, broker.port) as running:
        running.wait_up()  # it opens no more sockets of its own
        running.define(TOOLS.replace("HOST", repr(HOST)))
        yield running


def look_up(program, server, *, name="broker.example", before="", hosts=(HOST,)):
    """Return what the program finds out; checks that this costs no socket."""
    port = server if isinstance(server, int) else server.port
    found, leaked = program.do(
        f"waits = dns._WAITS_S\nbefore = sockets()\n{before}\n"
        f"try: found = await dns.resolve({name!r}, {hosts!r}, {port})\n"
        "except OSError as error: found = str(error)\n"
        "finally: dns._WAITS_S = waits\n"
        "return found, sockets() - before"
    )
    assert leaked == 0
    return found


def good(query):
    return [answer(query, address("10.1.2.3"))]


def silent(query):
    return []


def test_a_name_has_its_addresses(program):
    def two(query):
        return [answer(query, address("10.1.2.3"), address("255.0.10.254"))]

    with NameServer(two) as server:
        assert look_up(program, server) == ["10.1.2.3", "255.0.10.254"]
        assert look_up(program, server, name="Broker.example.") == ["10.1.2.3", "255.0.10.254"]
    first, second = server.queries
    assert first[2:] == second[2:] == b"\1\0\0\1\0\0\0\0\0\0" + QUESTION


def test_each_query_has_a_mark_and_a_port_of_its_own(program):
    with NameServer(good) as server:
        for _ in range(8):
            look_up(program, server)
    assert len({query[:2] for query in server.queries}) > 4


def test_an_alias_leads_to_addresses(program):
    def chain(query):
        whole = b"\x04real\x07example\0"
        return [answer(query, alias(ALIAS), alias(whole, ALIAS), address("10.0.0.9", whole))]

    with NameServer(chain) as server:
        assert look_up(program, server) == ["10.0.0.9"]


def test_other_kinds_of_records_are_passed_over(program):
    def mixed(query):
        return [answer(query, record(b"x" * 16, 28), record(b"", 16), address("10.0.0.9"))]

    with NameServer(mixed) as server:
        assert look_up(program, server) == ["10.0.0.9"]


def test_what_an_echo_in_capitals_says_counts(program):
    with NameServer(lambda query: [good(query)[0].replace(b"broker", b"BrOKer")]) as server:
        assert look_up(program, server) == ["10.1.2.3"]


def test_an_answer_with_another_mark_is_ignored(program):
    def forged(query):
        other = bytes([query[0] ^ 1]) + query[1:]
        return [answer(other, address("6.6.6.6"), flags=2), b"?", *good(query)]

    with NameServer(forged) as server:
        assert look_up(program, server) == ["10.1.2.3"]
    assert len(server.queries) == 1


def test_an_answer_from_elsewhere_is_ignored(program):
    def forged(query):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as elsewhere:
            elsewhere.sendto(answer(query, address("6.6.6.6")), server.sender)
        return good(query)

    with NameServer(forged) as server:
        assert look_up(program, server) == ["10.1.2.3"]
    assert len(server.queries) == 1


def test_a_lost_query_is_sent_again_while_others_run(program):
    with NameServer(silent, good) as server:
        began = time.monotonic()
        code = f"""ticking = asyncio.create_task(tick())
before = ticks
found = await dns.resolve("broker.example", ("{HOST}",), {server.port})
ticking.cancel()
return found, ticks - before"""
        found, ticks = program.do(code)
    assert found == ["10.1.2.3"] and len(server.queries) == 2
    assert time.monotonic() - began >= 1 and ticks > 30


def test_silence_is_given_up(program):
    assert program.do("return dns._WAITS_S") == [1, 2, 4]
    with NameServer(silent) as server:
        found = look_up(program, server, before="dns._WAITS_S = (0.1, 0.1, 1)")
    assert found == f"DNS: no answer from {HOST} in 1 s" and len(server.queries) == 3


def test_the_next_server_is_asked(program):
    with NameServer(silent) as first, NameServer(good, host="127.0.0.2", port=first.port):
        hosts = (HOST, "127.0.0.2")
        assert look_up(program, first, before=SOON, hosts=hosts) == ["10.1.2.3"]


def test_a_server_in_trouble_is_asked_again(program):
    with NameServer(lambda query: [answer(query, flags=2)], good) as server:
        assert look_up(program, server) == ["10.1.2.3"]


@pytest.mark.parametrize(
    "reply",
    [lambda query: answer(query, flags=3), answer, lambda query: answer(query, alias(ALIAS))],
    ids=["NXDOMAIN", "no record", "an alias of nothing"],
)
def test_a_name_that_there_is_not_is_final(program, reply):
    with NameServer(lambda query: [reply(query)]) as server:
        found = look_up(program, server)
    assert found.startswith("DNS: no such name") and found.endswith("broker.example")
    assert [query[-3] for query in server.queries] == [1, 28]  # A, and once AAAA


def test_nobody_there_is_an_error_at_once(program):
    began = time.monotonic()
    assert "ECONNREFUSED" in look_up(program, free_port())
    assert time.monotonic() - began < 5  # silence is waited for for 7 s


MALFORMED = {
    "empty": lambda query: b"",
    "a mark": lambda query: query[:2],
    "half a header": lambda query: answer(query)[:8],
    "half a question": lambda query: answer(query)[:-6],
    "the query itself": lambda query: query,
    "another question": lambda query: good(query)[0].replace(b"broker", b"brakes"),
    "two questions": lambda query: good(query)[0].replace(b"\0\1\0\1", b"\0\2\0\1", 1),
    "no record where one was promised": lambda query: answer(query, count=1),
    "65535 records promised": lambda query: answer(query, count=65535),
    "a reference to itself": lambda query: answer(query, b"\xc0\x21" * 20, count=40),
    "a name beyond the end": lambda query: answer(query, b"\x3fabc", count=1),
    "data beyond the end": lambda query: good(query)[0][:-1],
    "a length beyond the end": lambda query: answer(query, NAME + b"\0\1\0\1\0\0\0\0\xff\xff"),
    "truncated": lambda query: answer(query, flags=0x200),
    "SERVFAIL": lambda query: answer(query, flags=2),
    "REFUSED": lambda query: answer(query, flags=5),
}


@pytest.mark.parametrize("reply", MALFORMED.values(), ids=MALFORMED)
def test_a_wrong_answer_is_an_error(program, reply):
    with NameServer(lambda query: [reply(query)]) as server:
        found = look_up(program, server, before=SOON)
    assert isinstance(found, str) and found.startswith(f"DNS: {HOST}: ")
    assert len(server.queries) == 3


def test_what_is_whole_of_a_truncated_answer_counts(program):
    def cut(query):
        return [answer(query, address("10.1.2.3"), address("10.1.2.4"), flags=0x200)[:-3]]

    with NameServer(cut) as server:
        assert look_up(program, server) == ["10.1.2.3"]


@pytest.mark.parametrize("name", ["", "a..b", ".b", "x" * 64 + ".example"])
def test_what_cannot_be_a_name_is_not_asked_for(program, name):
    assert look_up(program, free_port(), name=name) == f"DNS: {name} is not a name"


def test_a_look_up_can_be_cancelled(program):
    with NameServer(silent) as server:
        code = f"""before = sockets()
task = asyncio.create_task(dns.resolve("broker.example", ("{HOST}",), {server.port}))
await until(lambda: sockets() > before)
task.cancel()
try: await task
except asyncio.CancelledError: pass
await until(lambda: sockets() == before)
return task.done()"""
        assert program.do(code) is True
    assert len(server.queries) <= 1


SWEEP = """
import random, time

def sweep(whole, rounds):
    kinds = set()
    slowest = 0
    random.seed(4)
    for number in range(len(whole) + rounds):
        one = bytearray(whole)
        if number >= len(whole):
            for _ in range(random.randrange(1, 5)):
                at = random.randrange(len(one))
                one[at] = random.choice((0, 1, 12, 63, 64, 128, 192, 255, random.randrange(256)))
        cut = number if number < len(whole) else random.choice((len(whole), number % len(whole)))
        began = time.ticks_us()
        try:
            found = dns.addresses(bytes(one[:cut]), QUESTION)
            kinds.add(type(found).__name__)
            if number < 12 + len(QUESTION) and found:
                raise ValueError(found)
        except OSError:
            kinds.add("OSError")
        slowest = max(slowest, time.ticks_diff(time.ticks_us(), began))
    return sorted(kinds), slowest
"""


def test_no_answer_does_harm(program):
    """All truncations, and mutations: addresses or OSError, and never for long."""
    query = b"mq" + b"\1\0\0\1\0\0\0\0\0\0" + QUESTION
    records = [alias(ALIAS), record(b"x" * 16, 28), address("10.1.2.3", ALIAS), address("10.1.2.4")]
    program.define(SWEEP.replace("QUESTION", repr(QUESTION)))
    kinds, slowest = program.do(f"return sweep({answer(query, *records)!r}, 5000)")
    assert kinds == ["OSError", "list"] and slowest < 500_000


# The opener.


def test_a_broker_is_found_by_the_server_that_the_link_knows(program, broker):
    with NameServer(lambda query: [answer(query, address(HOST))]) as server:
        since = len(program.told)
        program.do(f"await connect('broker.example', {broker.port}, {server.port})")
        assert program.wait("resolve", since=since)[1:] == ["broker.example", [HOST]]
    assert len(server.queries) == 1


def test_a_name_with_ipv6_addresses_only_is_told(program, broker):
    def only_ipv6(query):  # as servers do: a question for the others has no answer
        records = [record(socket.inet_pton(socket.AF_INET6, "::1"), 28)]
        return [answer(query, *(records if query[-3] == 28 else []))]

    with (
        NameServer(only_ipv6) as server,
        pytest.raises(Raised, match="broker.example has IPv6 addresses only, and we speak IPv4"),
    ):
        program.do(f"await connect('broker.example', {broker.port}, {server.port})")
    first, second = server.queries
    assert (first[-4:], second[-4:]) == (b"\0\1\0\1", b"\0\x1c\0\1")


def test_an_ipv6_address_is_told(program):
    with pytest.raises(Raised, match="fe80::z is an IPv6 address, and this port speaks IPv4 only"):
        program.do("await net.open_stream('fe80::z', 1883, dns='127.0.0.1')")


def test_a_name_that_does_not_exist_is_told(program, broker):
    with (
        NameServer(lambda query: [answer(query, flags=3)]) as server,
        pytest.raises(Raised, match="no such name"),
    ):
        program.do(f"await connect('broker.example', {broker.port}, {server.port})")


@pytest.mark.parametrize("host", ["localhost", HOST])
def test_what_the_port_knows_is_not_asked_for(program, broker, host):
    since = len(program.told)
    program.do(f"await connect({host!r}, {broker.port}, 1)")
    program.do("say('then')")
    program.wait("then", since=since)
    assert not [words for words in program.told[since:] if words[0] == "resolve"]


def test_what_cannot_be_a_name_is_told(program):
    with pytest.raises(Raised, match="DNS: a..b is not a name"):
        program.do("await net.open_stream('a..b', 1883, dns='127.0.0.1')")
