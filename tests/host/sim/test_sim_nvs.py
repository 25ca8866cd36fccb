"""Tests NVS: it keeps what was set, over restarts, full halves and power cuts."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mqhost.flash.partition import Partition
from mqhost.sim.esperror import (
    NvsInvalidName,
    NvsKeyTooLong,
    NvsNotEnoughSpace,
    NvsNotFound,
    NvsTypeMismatch,
)
from mqhost.sim.flash import Flash, PowerLost
from mqhost.sim.nvs import BLOB, I32, Nvs

SIZE = 0x4000
PARTITION = Partition("nvs", 1, 2, 0, SIZE)


@pytest.fixture(scope="module")
def flash(tmp_path_factory):
    path = tmp_path_factory.mktemp("nvs") / "flash"
    Flash.create(path, SIZE)
    with Flash(path) as flash:
        yield flash


@pytest.fixture
def nvs(flash):
    flash.erase(0, SIZE)
    return Nvs(flash, PARTITION)


def test_values_survive_a_restart(flash, nvs):
    nvs.set(b"one", b"key", BLOB, b"value")
    nvs.set(b"two", b"key", BLOB, b"other")
    nvs.set(b"two", b"number", I32, b"\1\0\0\0")
    nvs.set(b"one", b"key", BLOB, b"newer")
    nvs.erase(b"two", b"key")
    again = Nvs(flash, PARTITION)
    assert again.get(b"one", b"key", BLOB) == b"newer"
    assert again.get(b"two", b"number", I32) == b"\1\0\0\0"
    with pytest.raises(NvsNotFound):
        again.get(b"two", b"key", BLOB)


def test_errors_are_those_of_esp_idf(nvs):
    with pytest.raises(NvsNotFound) as error:
        nvs.get(b"one", b"key", BLOB)
    assert (error.value.code, error.value.name) == (0x1102, "ESP_ERR_NVS_NOT_FOUND")
    with pytest.raises(NvsNotFound):
        nvs.erase(b"one", b"key")
    nvs.set(b"one", b"key", BLOB, b"")
    with pytest.raises(NvsTypeMismatch):
        nvs.get(b"one", b"key", I32)
    with pytest.raises(NvsKeyTooLong):
        nvs.set(b"one", b"sixteen_letters_", BLOB, b"")
    with pytest.raises(NvsInvalidName):
        nvs.set(b"one", b"", BLOB, b"")


def test_setting_the_same_value_costs_no_flash(flash, nvs):
    nvs.set(b"one", b"key", BLOB, b"value")
    before = flash.counters.operations
    nvs.set(b"one", b"key", BLOB, b"value")
    assert flash.counters.operations == before


def test_a_blob_of_the_largest_size_can_be_replaced_for_ever(flash, nvs):
    for number in range(20):
        nvs.set(b"mqboard", b"config", BLOB, bytes([number]) * 4000)
    assert Nvs(flash, PARTITION).get(b"mqboard", b"config", BLOB) == bytes([19]) * 4000


def test_too_much_is_refused_and_nothing_is_lost(flash, nvs):
    nvs.set(b"one", b"key", BLOB, b"value")
    with pytest.raises(NvsNotEnoughSpace):
        nvs.set(b"one", b"large", BLOB, bytes(9000))
    for store in (nvs, Nvs(flash, PARTITION)):
        assert store.get(b"one", b"key", BLOB) == b"value"


KEYS = st.sampled_from([b"a", b"b", b"c"])
VALUES = st.one_of(st.none(), st.integers(0, 3000).map(lambda size: b"\x5a" * size), st.binary())


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(KEYS, VALUES), min_size=1, max_size=12),
    st.integers(0, 30),
    st.floats(0.0, 1.0),
)
def test_a_power_cut_leaves_the_value_before_or_after(flash, changes, operations, partial):
    flash.cut_power_after(None)
    flash.erase(0, SIZE)
    nvs = Nvs(flash, PARTITION)
    model: dict[bytes, bytes | None] = {}
    flash.cut_power_after(operations, partial)
    for key, value in changes:
        before = model.get(key)
        try:
            if value is not None:
                nvs.set(b"n", key, BLOB, value)
            elif before is not None:
                nvs.erase(b"n", key)
        except NvsNotEnoughSpace:
            continue
        except PowerLost:
            nvs = Nvs(flash, PARTITION)
            assert _get(nvs, key) in (before, value)
            model[key] = _get(nvs, key)
            continue
        model[key] = value
    flash.cut_power_after(None)
    for store in (nvs, Nvs(flash, PARTITION)):
        assert {key: _get(store, key) for key in model} == model
    nvs.set(b"n", b"d", BLOB, b"still writable")
    assert _get(Nvs(flash, PARTITION), b"d") == b"still writable"


def _get(nvs: Nvs, key: bytes) -> bytes | None:
    try:
        return nvs.get(b"n", key, BLOB)
    except NvsNotFound:
        return None
