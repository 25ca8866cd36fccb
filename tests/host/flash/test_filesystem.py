"""Tests LittleFS images: made, read back, and listed with as little reading as it takes."""

import pytest
from littlefs import LittleFS

from mqhost.errors import UsageError
from mqhost.flash.filesystem import BLOCK, list_files, make_filesystem

SIZE = 0xF0000


def test_the_filesystem_holds_the_files():
    files = {"/config.json": b"{}", "/lib/deep/module.py": b"x" * 10_000, "/empty": b""}
    image = make_filesystem(0xF0000, files)
    assert len(image) == 0xF0000
    read = LittleFS(block_size=4096, block_count=0xF0, mount=False)
    read.context.buffer = bytearray(image)
    read.mount()
    for path, content in files.items():
        with read.open(path, "rb") as file:
            assert file.read() == content


def test_files_that_do_not_fit_are_named():
    with pytest.raises(UsageError, match=r"/large cannot be put .* 65,536 B.*100,000 B together"):
        make_filesystem(0x10000, {"/large": bytes(100_000)})


def listed(image):
    """Return (the files, how many bytes were read for them)."""
    read = []

    def reader(offset, size):
        read.append(size)
        return image[offset : offset + size]

    return list_files(reader, len(image)), sum(read)


def test_files_are_listed_from_the_root_folder_alone():
    image = make_filesystem(SIZE, {"/config.json": bytes(5000), "/main.py": b"x"})
    assert listed(image) == (["/config.json", "/main.py"], 2 * BLOCK)


def test_files_in_folders_are_listed_too():
    files = {"/a": b"", "/lib/b/c.py": b"x", "/lib/d.py": bytes(9000)}
    assert listed(make_filesystem(SIZE, files))[0] == sorted(files)


def test_many_files_are_all_listed():
    files = {f"/file-{number:03}": bytes(number) for number in range(300)}
    assert listed(make_filesystem(SIZE, files))[0] == sorted(files)


@pytest.mark.parametrize("byte", [b"\xff", b"\0", b"U"])
def test_what_is_no_filesystem_has_no_files(byte):
    assert listed(byte * SIZE)[0] == []


def test_a_damaged_filesystem_has_no_files():
    image = bytearray(make_filesystem(SIZE, {"/config.json": b"{}"}))
    for block in (0, BLOCK):
        image[block + 8 : block + 16] = b"littlefz"
    assert listed(bytes(image))[0] == []
