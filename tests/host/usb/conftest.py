"""Provides a chip at a port, and a build for it."""

import pytest
from chipbuild import ESP32, lay_build
from fakechip import FakeChip


@pytest.fixture
def built(tmp_path):
    return lay_build(tmp_path / "build", ESP32)


@pytest.fixture
def chip():
    with FakeChip() as running:
        yield running
