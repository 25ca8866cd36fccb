"""Provides one mosquitto for the host tests; every test takes a prefix of its own on it."""

import itertools

import pytest
from fakeboard import FakeBoard

from mqhost.link.session import Session
from mqhost.link.settings import Settings
from mqhost.sim.broker import Broker

_numbers = itertools.count()


@pytest.fixture(scope="session")
def broker():
    with Broker() as running:
        yield running


@pytest.fixture
def prefix():
    return f"test/{next(_numbers)}"


@pytest.fixture
def settings(broker, prefix):
    return Settings(server=broker.host, port=broker.port, prefix=prefix, timeout=20)


@pytest.fixture
def board(broker, prefix):
    with FakeBoard(broker.port, prefix) as running:
        yield running


@pytest.fixture
def session(settings, board):
    with Session(settings) as opened:
        yield opened
