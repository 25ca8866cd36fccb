"""Runs a part of the fuzz of the client's reader, and tests that it would notice faults."""

import itertools

import pytest

from ci import fuzz

CASES = 5000  # of the million that invoke bench runs when it is asked to


def test_mutated_packets_end_the_connection_and_nothing_else():
    assert fuzz.run(CASES) == CASES


def test_a_case_depends_on_its_number_only():
    packets = fuzz.corpus()
    assert fuzz.data_of(77, packets)[0] == fuzz.data_of(77, packets)[0]
    assert len({fuzz.data_of(case, packets)[0] for case in range(300)}) > 290


def test_cases_go_on_where_an_earlier_run_ended():
    reached = []
    assert fuzz.run(3, first=1234, progress=reached.append) == 3
    assert reached == [0]


def test_an_error_of_another_kind_is_a_failure_that_names_its_case(monkeypatch):
    def broken(self, first, body, stop):
        raise IndexError("beyond the buffer")

    monkeypatch.setattr(fuzz.Client, "take", broken)
    with pytest.raises(fuzz.Failure, match=r"case \d+ .*beyond the buffer"):
        fuzz.run(100)


def test_a_reader_that_returns_is_a_failure(monkeypatch):
    async def returning(self, taker):
        pass

    monkeypatch.setattr(type(fuzz._client(64).reader), "read_packets", returning)
    with pytest.raises(fuzz.Failure, match="case 1 .*the reader returned"):
        fuzz.run(100)


def test_a_client_that_keeps_what_it_was_sent_is_a_failure(monkeypatch):
    take = fuzz.Client.take
    numbers = itertools.count()

    def keeping(self, first, body, stop):
        self._received.update((next(numbers), next(numbers)))
        take(self, first, body, stop)

    monkeypatch.setattr(fuzz.Client, "take", keeping)
    monkeypatch.setattr(fuzz.Client, "close", lambda self: None)
    with pytest.raises(fuzz.Failure, match="keeps"):
        fuzz.run(2000)


def test_an_endless_loop_is_a_failure(monkeypatch):
    monkeypatch.setattr(fuzz, "_HANG_SECONDS", 0.2)

    def endless(self, first, body, stop):
        while True:
            pass

    monkeypatch.setattr(fuzz.Client, "take", endless)
    with pytest.raises(fuzz.Failure, match="does not end"):
        fuzz.run(100)
