"""Tests that a place in an image is named: by what a real compiler and linker left of a program."""

import subprocess

import pytest

from mqhost.attest.compare import compare
from mqhost.build.evidence.locate import Traces, locate
from mqhost.flash import elf
from mqhost.flash.espimage import build_app_image

FROZEN = """
const char const_pool[64] = "what all share";
static const char fun_data_mqboard_mqtt_client__lt_module_gt_[200] = "a client of MQTT";
static const char fun_data_mqboard_mqtt__lt_module_gt_[200] = "a package";
const char *frozen(int n) {
    return n ? fun_data_mqboard_mqtt_client__lt_module_gt_ + n
             : fun_data_mqboard_mqtt__lt_module_gt_;
}
"""
MAIN = """
const char *frozen(int n);
const char other[100] = "a table of another file";
int main(int n, char **v) { return frozen(n)[0] + other[n]; }
"""
MODULES = ["mqboard/mqtt/client.py", "mqboard/mqtt.py", "main.py"]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Compile a program as MicroPython's unix port is; give its traces, and the app image of it."""
    folder = tmp_path_factory.mktemp("program")
    for name, text in (("frozen_content", FROZEN), ("main", MAIN)):
        (folder / f"{name}.c").write_text(text)
        subprocess.run(["gcc", "-fno-pie", "-c", f"{name}.c"], cwd=folder, check=True)
    link = ["gcc", "-no-pie", "-o", "program", "main.o", "frozen_content.o"]
    subprocess.run([*link, "-Wl,-Map=micropython.map"], cwd=folder, check=True)
    subprocess.run(["strip", "program"], cwd=folder, check=True)
    program = (folder / "program").read_bytes()
    facts = {"chip_id": 0, "project": "p", "version": "1", "build_time": 0, "idf_version": "x"}
    return Traces.read(folder), build_app_image(program, **facts)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (b"client of MQTT", "frozen module mqboard/mqtt/client.py"),
        (b"a package", "frozen module mqboard/mqtt.py"),
        (b"what all share", "what all frozen modules share"),
        (b"a table of another file", "main.o"),
    ],
)
def test_a_changed_byte_is_named(built, text, name):
    traces, app = built
    place = app.index(text)
    changed = app[:place] + b"X" + app[place + 1 :]
    found = compare(changed, app, name=lambda offset: locate(traces, app, offset, MODULES))
    assert found.place.startswith("segment 2 of 2") and found.place.endswith(f", {name}")


def test_a_chips_map_names_the_constants_themselves(built):
    _, app = built
    line = " .rodata.fun_data_mqboard_mqtt_client_Client\n"
    line += "                0x000000003f400100       0x40 esp-idf/x/libx.a(frozen_content.c.obj)\n"
    chip = build_app_image(
        b"no program", chip_id=0, project="p", version="1", build_time=0, idf_version="x"
    )
    # The first segment is loaded at 0x3f400020, and begins 32 bytes into the image.
    name = locate(Traces(line, b""), chip, 0x100, MODULES)
    assert name == "frozen module mqboard/mqtt/client.py"
    assert locate(Traces(line, b""), chip, 0x50, MODULES) == ""
    assert locate(Traces("", b""), app, 10**9, MODULES) == ""


def test_what_is_no_elf_file_or_a_part_of_one_has_no_symbols(built):
    traces, _ = built
    assert {one.name for one in elf.symbols(traces.frozen)} >= {"const_pool", "frozen"}
    for length in range(0, len(traces.frozen), 37):
        list(elf.symbols(traces.frozen[:length]))
    for data in (b"", b"\x7fELF", b"\xe9" * 1000, b"\x7fELF\x03\x01" + bytes(200)):
        assert not list(elf.symbols(data)) and elf.address_at(data, 0) is None
