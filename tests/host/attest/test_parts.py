"""Tests the list of parts: the same bytes each time, valid CycloneDX, licences of the sources."""

import hashlib
import json
import struct
import zlib
from dataclasses import replace

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from mqhost.attest import licences
from mqhost.attest.compare import compare
from mqhost.attest.licences import NOASSERTION
from mqhost.attest.sbom import Part, make_sbom, read_parts
from mqhost.build.board import find
from mqhost.build.evidence import parts
from mqhost.build.evidence.linked import read_linked
from mqhost.build.freeze import OURS, PROJECT, FrozenFile
from mqhost.build.plan import Tools, plan
from mqhost.build.sources.source import Source
from mqhost.flash.espimage import PROGRAM_HASH, build_app_image, segments
from mqhost.flash.sigblock import unsigned
from mqwire.flash import SIGNATURE_CRC, SIGNATURE_MAGIC

FIRMWARE = Part("firmware", "mqboard-x", "1.0", sha256="ab" * 32)
PARTS = [
    Part("framework", "MicroPython", "1.28.0", "MIT", "pkg:github/micropython/micropython@abc"),
    Part("library", "libgcc", licence="GPL-3.0-or-later WITH GCC-exception-3.1"),
    Part(
        "library",
        "lwip",
        "2.2",
        "BSD-3-Clause",
        cpe="cpe:2.3:a:lwip_project:lwip:2.2:*:*:*:*:*:*:*",
    ),
    Part("file", "main.py", licence=NOASSERTION, sha256="cd" * 32, origin="the project", note="é"),
]
TOOLS = [Part("application", "gcc", "14.2.0", note="crosstool-NG")]
LICENSE = """Blah (MIT).

/ (MIT)
    /drivers
        /littlefs (GPL-2.0)
    /lib
        /axtls (BSD-3-clause)
            /config
                /scripts
        /berkeley-db-1xx (BSD-4-clause)
        /crypto-algorithms (NONE)
        /btstack (See btstack/LICENSE)
        /re15 (BSD-3-clause)
    /ports
        /lwip (MIT)
"""
MIT = "Permission is hereby granted, free of charge, to any person obtaining a copy"
MAP = """Archive member included to satisfy reference by file (symbol)

esp-idf/freertos/libfreertos.a(tasks.c.obj)
                              esp-idf/main/libmain.a(x.c.obj) (xTask)
esp-idf/main_esp32/libmain_esp32.a(main.c.obj)
esp-idf/mbedtls/mbedtls/library/libmbedtls.a(ssl.c.obj)
                              (x)
esp-idf/espressif__mdns/libespressif__mdns.a(mdns.c.obj)
/opt/esp/idf/components/esp_wifi/lib/esp32/libnet80211.a(wl.o)
/opt/esp/tools/xtensa-esp-elf/lib/libgcc.a(_divdi3.o)
/opt/esp/tools/xtensa-esp-elf/lib/libc.a(libc_a-printf.o)

Discarded input sections
esp-idf/never/libnever.a(x.c.obj)
"""
GITMODULES = """# a comment
[submodule "components/mbedtls/mbedtls"]
\tpath = components/mbedtls/mbedtls
\tsbom-version = 3.6.4
\tsbom-cpe = cpe:2.3:a:arm:mbed_tls:{}:*:*:*:*:*:*:*
[submodule "components/esp_wifi/lib"]
        url = ../../espressif/esp32-wifi-lib.git
"""
LOCK = """dependencies:
  espressif/mdns:
    dependencies:
    - name: idf
      version: '>=5.0'
    version: 1.1.0
  idf:
    source:
      type: idf
    version: 5.5.1
target: esp32
version: 2.0.0
"""


def test_the_list_is_valid_and_the_same_each_time():
    first = make_sbom(FIRMWARE, PARTS, TOOLS, 1_700_000_000)
    assert make_sbom(FIRMWARE, reversed(PARTS), TOOLS, 1_700_000_000) == first
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(first.decode()) is None
    other = make_sbom(replace(FIRMWARE, sha256="ef" * 32), PARTS, TOOLS, 1_700_000_000)
    assert json.loads(other)["serialNumber"] != json.loads(first)["serialNumber"]
    wrong = first.decode().replace('"firmware"', '"software"')
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(wrong) is not None


def test_the_list_comes_back_as_it_was_made():
    record, firmware, found = read_parts(make_sbom(FIRMWARE, PARTS, TOOLS, 0), "x")
    assert (firmware, found) == (FIRMWARE, PARTS)
    assert record["metadata"]["timestamp"].startswith("1970-01-01")
    assert record["metadata"]["tools"]["components"][0]["name"] == "gcc"


@pytest.mark.parametrize(
    ("text", "licence"),
    [
        ("# SPDX-License-Identifier: Apache-2.0\nx = 1\n", "Apache-2.0"),
        ("// SPDX-License-Identifier: MIT OR Apache-2.0", "MIT OR Apache-2.0"),
        (
            " * Permission is hereby granted, free of charge, to any\n * person obtaining a copy",
            "MIT",
        ),
        ("# MIT license; Copyright (c) 2022 Jim Mussared\n", "MIT"),
        ("# License: MIT", "MIT"),
        ("# limit licences\nx = 'submit license'", NOASSERTION),
        ("print(1)", NOASSERTION),
        ("", NOASSERTION),
        ("This software is provided 'as-is', without any express or implied warranty", "Zlib"),
    ],
)
def test_a_licence_is_read_from_the_text(text, licence):
    assert licences.of_source(text.encode()) == licence


def test_micropythons_licence_tells_those_of_its_libraries(tmp_path):
    assert licences.of_micropython(tmp_path) == {}
    (tmp_path / "LICENSE").write_text(LICENSE)
    assert licences.of_micropython(tmp_path) == {
        "axtls": "BSD-3-Clause",
        "berkeley-db-1xx": "BSD-4-Clause",
        "crypto-algorithms": NOASSERTION,
        "btstack": NOASSERTION,
        "re15": "BSD-3-Clause",
    }


@pytest.fixture
def chip(tmp_path):
    """Make what a build for an ESP32 leaves, and the plan and the source that it was built by."""
    source = tmp_path / "source"
    for name in ("littlefs", "uzlib", "berkeley-db-1.xx"):
        (source / "lib" / name).mkdir(parents=True)
    (source / "lib" / "littlefs" / "lfs2.h").write_text("#define LFS2_VERSION 0x0002000b\n")
    (source / "LICENSE").write_text(f"{MIT}\n{LICENSE}        /x (MIT)\n")
    tools = Tools("python3", "mpy-cross", (), 1)
    work = plan(find("esp32"), source, tmp_path / "build" / "tree", tools, 0)
    make = work.compiled.parent
    make.mkdir(parents=True)
    (make / "micropython.map").write_text(MAP)
    (make / "micropython.elf").write_bytes(
        b"\0GCC: (crosstool-NG esp-14.2.0_1) 14.2.0\0libx.so.1\0"
    )
    (make / ".ninja_deps").write_bytes(
        b"\1\0/a/micropython/lib/littlefs/lfs2.c\0/a/micropython/lib/uzlib/uzlib.h\0"
        b"/opt/esp/idf/lib/other/x.c\0"
    )
    (work.tree / parts.MODULES_OF_IDF).write_text(GITMODULES)
    lock = work.tree / "micropython/ports/esp32/lockfiles/dependencies.lock.esp32"
    lock.parent.mkdir(parents=True)
    lock.write_text(LOCK)
    return work, Source(source, "1.28.0", "v1.28.0")


def test_only_what_was_linked_is_a_part_of_a_chips_firmware(chip):
    work, source = chip
    linked = read_linked(work, source.path)
    assert linked.folders == ("littlefs",)  # uzlib's header alone is no code
    assert linked.components == ("esp_wifi", "espressif__mdns", "freertos", "mbedtls")
    assert linked.compiler == ("crosstool-NG esp-14.2.0_1", "14.2.0") and not linked.shared
    files = [
        FrozenFile("main.py", b"x", origin=OURS),
        FrozenFile("mine.py", b"y", origin=PROJECT),
        FrozenFile("theirs.py", b"# SPDX-License-Identifier: ISC", origin=PROJECT),
        FrozenFile("mip.py", b"z", place="lib/micropython-lib/micropython/mip/mip.py"),
        FrozenFile("apa106.py", b"z", place="ports/esp32/modules/apa106.py"),
    ]
    found = {part.name: part for part in parts.made_of(find("esp32"), source, work, files, linked)}
    assert found["MicroPython"].purl.endswith("@e0e9fbb17ed6fd06bb76e266ae554784c9c80804")
    assert found["ESP-IDF"].version == "5.5.1" and not found["ESP-IDF"].note
    assert found["littlefs"].version == "2.11"
    assert found["mbedtls"].version == "3.6.4"
    assert found["mbedtls"].cpe == "cpe:2.3:a:arm:mbed_tls:3.6.4:*:*:*:*:*:*:*"
    assert found["freertos"].licence == "MIT" and found["freertos"].version == "5.5.1"
    assert found["espressif/mdns"].version == "1.1.0"
    assert found["newlib"].licence == NOASSERTION and "GCC-exception" in found["libgcc"].licence
    assert found["tlspsk/tlspsk.c"].origin == OURS
    assert "never" not in found and "berkeley-db-1.xx" not in found
    told = {name: (found[name].origin, found[name].licence) for name in found}
    assert told["main.py"] == (OURS, "MIT") and told["mine.py"] == (PROJECT, NOASSERTION)
    assert told["theirs.py"] == (PROJECT, "ISC")
    assert told["mip.py"] == ("micropython-lib", NOASSERTION)
    assert told["apa106.py"] == ("MicroPython", "MIT")
    made = make_sbom(FIRMWARE, found.values(), parts.tool_parts(linked), 0)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(made.decode()) is None


def test_a_module_in_c_is_ours_or_the_users_by_where_its_file_is(tmp_path):
    def modules(board):
        return {part.name: (part.licence, part.origin) for part in parts._modules_in_c(board, None)}

    ours = modules(find("sim"))
    assert ours == dict.fromkeys(("alarm/alarm.c", "tlspsk/tlspsk.c"), ("MIT", OURS))
    mine = tmp_path / "mysim" / "mine"
    mine.mkdir(parents=True)
    (mine.parent / "board.toml").write_text('extends = "sim"\n')
    (mine / "micropython.mk").touch()
    (mine / "mine.c").write_text("int x;\n")
    users = {"mine/mine.c": (NOASSERTION, PROJECT)}
    assert modules(find("mysim", tmp_path)) == ours | users, "what it extends is ours"
    (mine.parent / "alarm").mkdir()
    (mine.parent / "alarm" / "alarm.c").write_text("int y;\n")
    users["alarm/alarm.c"] = NOASSERTION, PROJECT
    assert modules(find("mysim", tmp_path)) == ours | users, "its own goes before ours"


def test_without_a_map_the_list_says_that_it_is_not_whole(chip):
    work, source = chip
    (work.compiled.parent / "micropython.map").unlink()
    linked = read_linked(work, source.path)
    found = {part.name: part for part in parts.made_of(find("esp32"), source, work, [], linked)}
    assert "not known" in found["ESP-IDF"].note and "freertos" not in found


def image(code):
    return build_app_image(code, chip_id=0, project="p", version="1", build_time=0, idf_version="x")


def test_two_images_differ_where_their_bytes_and_their_modules_do():
    one, other = image(bytes(4000)), image(bytes(1000) + b"\1" + bytes(2999))
    assert compare(one, one) is None
    code = segments(one)[1]
    difference = compare(one, other)
    assert difference.offset == code.offset + 1000
    assert "segment 2 of 2" in difference.place and "0x3e8 bytes into it" in difference.place
    assert difference.count > 33  # the byte, and what is made from all of them: sums and hashes
    program = bytearray(one)
    program[PROGRAM_HASH[0]] ^= 1
    assert "segment 1 of 2" in compare(one, bytes(program)).place
    here = difference.sentence()
    assert "the first at" in here and "look at the compiler" in here
    old = [Part("file", "a.py", sha256="1" * 64), Part("file", "b.py"), Part("library", "l", "1")]
    new = [Part("file", "a.py", sha256="2" * 64), Part("file", "c.py"), Part("library", "l", "2")]
    said = compare(one, other, old, new).parts
    assert said[0].startswith("a.py has other source")
    assert said[1:] == (
        "b.py is in the image, and not in the commit",
        "c.py is missing in the image",
        "l is 1, and here 2",
    )
    assert compare(one, one[:-5]).place == "what stands behind its end"
    assert compare(one, b"\0" + one[1:]).place
    many = [Part("file", f"{number}.py") for number in range(9)]
    assert "and 4 more" in compare(one, other, many, []).sentence()


def test_a_signature_for_the_chip_is_no_difference():
    """It is made with randomness: of two builds it is never the same."""

    def signed(image, noise):
        padded = image + bytes(-len(image) % 4096)
        block = struct.pack("<BBxx32s", SIGNATURE_MAGIC, 2, hashlib.sha256(padded).digest())
        block = block.ljust(SIGNATURE_CRC, noise)
        return padded + (block + struct.pack("<I", zlib.crc32(block))).ljust(4096, b"\xff")

    one, other = (signed(image(b"code"), noise) for noise in (b"\1", b"\2"))
    assert one != other and compare(unsigned(one), unsigned(other)) is None
    assert compare(unsigned(one), unsigned(signed(image(b"evil"), b"\1")))
    assert unsigned(image(b"code")) == image(b"code")
