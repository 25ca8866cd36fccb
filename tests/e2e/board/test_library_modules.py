"""Tests MicroPython's own library on a board: frozen, importable, loaded only by programs."""

import json

import pytest

from mqhost.build.freeze import MICROPYTHON


@pytest.fixture
def library(firmware):
    """Give the library's modules in this firmware: as a program names them → their path."""
    paths = [module.path for module in firmware.modules if module.origin == MICROPYTHON]
    return {
        path.removesuffix(".py").removesuffix("/__init__").replace("/", "."): path for path in paths
    }


def test_every_module_can_be_imported_and_is_the_frozen_one(board, library):
    assert {"mip", "requests"} <= library.keys()
    for name, path in library.items():
        text = f"import sys, {name}; print(sys.modules['{name}'].__file__)"
        assert board.eval(text).splitlines()[-1] == path  # one of them greets whoever imports it


def test_none_is_loaded_before_a_program_imports_it(board, library):
    loaded = json.loads(board.eval("import json, sys; print(json.dumps(list(sys.modules)))"))
    assert "mqboard.board" in loaded
    assert not library.keys() & set(loaded)
