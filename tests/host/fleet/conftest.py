"""Provides the databases of rollouts: what takes `place` runs on SQLite and on PostgreSQL."""

import itertools

import pytest

from ci.postgres import Postgres

_numbers = itertools.count()


@pytest.fixture(scope="session")
def postgres():
    with Postgres() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request, tmp_path):
    """Give the place of an empty database."""
    if request.param == "sqlite":
        return str(tmp_path / "state" / "fleet.db")
    return request.getfixturevalue("postgres").database(f"test_{next(_numbers)}")
