"""Finds out what a build has really compiled and linked, from what it left in its build tree.

The compilers' lists of what each object was made from name the sources of MicroPython's lib/, also
those that others include; the linker's map names the archives that something was taken out of; the
program itself names its compiler and the libraries that it is linked with when it starts.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mqhost.build.plan import Plan

_SOURCE = re.compile(rb"/lib/([A-Za-z0-9_.+-]+)/[A-Za-z0-9_./+-]*\.c\b")
_ARCHIVE = re.compile(r"^(\S+\.a)\(", re.MULTILINE)
_MAP_ENDS = "Discarded input sections"
_COMPILER = re.compile(rb"GCC: \(([^)\0]{1,80})\) ([0-9][0-9.]*)")
_NEEDED = re.compile(rb"\0(lib[a-z0-9_+-]+\.so\.[0-9.]+)(?=\0)")
_COMPONENT = re.compile(r"(?:^|/)esp-idf/([^/]+)/|/components/([^/]+)/")


@dataclass(frozen=True)
class Linked:
    """What went into a program. `folders`: those of MicroPython's lib/ with C that was compiled;
    `components`: ESP-IDF's, by name; `archives`: of the compiler, as "libgcc"; `shared`: libraries
    that it is linked with at its start, as "libc.so.6"; `compiler`: whose, and its version, or
    None. `known`: whether there was a map to read, where there should be one."""

    folders: tuple[str, ...]
    components: tuple[str, ...]
    archives: tuple[str, ...]
    shared: tuple[str, ...]
    compiler: tuple[str, str] | None
    known: bool


def read_linked(work: Plan, source: Path) -> Linked:
    """Read what the build `work` of MicroPython's `source` left."""
    output = work.compiled.parent
    esp = work.flash is not None
    program = _bytes(output / ("micropython.elf" if esp else "micropython"))
    said = _COMPILER.search(program)
    archives = _archives(output / "micropython.map")
    components, others = set(), set()
    for archive in archives:
        found = _COMPONENT.search(archive)
        if found:
            components.add(found[1] or found[2])
        else:
            others.add(Path(archive).stem)
    there = {path.name for path in (source / "lib").iterdir() if path.is_dir()}
    names = {match.decode() for data in _lists(output) for match in _SOURCE.findall(data)}
    return Linked(
        folders=tuple(sorted(names & there)),
        components=tuple(sorted(name for name in components if not name.startswith("main"))),
        archives=tuple(sorted(others)),
        shared=() if esp else tuple(sorted({one.decode() for one in _NEEDED.findall(program)})),
        compiler=(said[1].decode(errors="replace"), said[2].decode()) if said else None,
        known=bool(archives),
    )


def _archives(path: Path) -> set[str]:
    """Return the archives that the linker's map says something was taken from."""
    text = _bytes(path).decode(errors="replace").partition(_MAP_ENDS)[0]
    return set(_ARCHIVE.findall(text))


def _lists(output: Path) -> Iterator[bytes]:
    """Yield the lists of what objects were made from: make's, one a file, or all that ninja has."""
    for pattern in ("*.P", "*.d"):
        for path in output.rglob(pattern):
            yield _bytes(path)
    yield _bytes(output / ".ninja_deps")
    yield _bytes(output / "compile_commands.json")


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
