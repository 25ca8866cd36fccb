"""Provides MicroPython's sources: Debian's, and what stands in for a checkout of a release."""

from pathlib import Path

import pytest
from fakecheckout import make_checkout

from mqhost.build.board import find
from mqhost.build.sources.source import debian_source


@pytest.fixture(scope="session")
def debian() -> Path:
    return debian_source(find("sim").fallback)


@pytest.fixture(scope="session")
def checkout(debian, tmp_path_factory) -> Path:
    return make_checkout(debian, tmp_path_factory.mktemp("micropython"))
