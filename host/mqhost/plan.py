"""The plan of a build: which programs run, in which order, with which arguments.

Pure: nothing here touches a file or runs anything, so a test can look at a plan without a compiler.
A builder (builder.py) carries it out.
"""

import hashlib
import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mqhost.board import Board
from mqhost.errors import UsageError


@dataclass(frozen=True)
class Tools:
    """The programs a build uses. `python` and `mpy_cross` are paths; `versions` says which
    compiler and which mpy-cross these are; `jobs`: how many compilers run at once."""

    python: str
    mpy_cross: str
    versions: tuple[str, ...]
    jobs: int


@dataclass(frozen=True)
class Step:
    """One program to run: what people are told, and its argv."""

    title: str
    argv: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """What to run for one board, and where its results will be.

    `tree` is the build tree that later builds go on from, as long as `fingerprint` stays the same.
    `dry_run` lists the commands of the first step without running them; `environment` is set on
    top of a bare one.
    """

    board: str
    tree: Path
    steps: tuple[Step, ...]
    dry_run: tuple[str, ...]
    environment: Mapping[str, str]
    fingerprint: str
    executable: Path
    compiled: Path
    frozen_content: Path
    library: Path


def plan(board: Board, source: Path, tree: Path, tools: Tools, epoch: int) -> Plan:
    """The plan that builds `board` from MicroPython's `source` in `tree`.

    `epoch`: the time, in Unix seconds, that stands for "now" in the image. The manifest of what is
    frozen is expected in `tree`/manifest.py.
    """
    if board.port != "unix":
        raise UsageError(
            f"Board {board.name} needs the {board.port} port; building for it arrives with the "
            "docker builder. Build the simulated board: invoke build --board sim"
        )
    return _plan_unix(board, source, tree, tools, epoch)


def _plan_unix(board: Board, source: Path, tree: Path, tools: Tools, epoch: int) -> Plan:
    """MicroPython's unix port, linked with the system's mbedTLS whatever the source tree says."""
    for path in (tree, source):
        if len(str(path).split()) != 1:
            raise UsageError(
                f"make cannot work in a folder with a space in its path: {path}. "
                "Set MQBOARD_CACHE to another folder, or move the checkout."
            )
    output = tree / "make"
    library = tree / "library"
    executable = tree / "firmware"
    maps = [f"-ffile-prefix-map={tree}=build", f"-ffile-prefix-map={source}=micropython"]
    compile_flags = [
        "-DMICROPY_PY_OS_DUPTERM=1",
        # Off in make, on in C: make would want mbedTLS's sources, a submodule few trees have.
        "-DMICROPY_SSL_MBEDTLS=1",
        '-DMBEDTLS_CONFIG_FILE=\\"mbedtls_config.h\\"',
        f"-I{shlex.quote(str(board.folder))}",
        *maps,
        f"-ffile-prefix-map={shlex.quote(str(board.folder))}=board",
    ]
    link_flags = ["-lmbedx509", "-lmbedtls", "-lmbedcrypto", "-Wl,--build-id=none"]
    options = (
        f"--directory={source / 'ports' / 'unix'}",
        f"VARIANT={board.based_on}",
        f"BUILD={output}",
        f"FROZEN_MANIFEST={tree / 'manifest.py'}",
        "MICROPY_MPYCROSS_DEPENDENCY=",
        f"MPY_LIB_DIR={library}",
        "MICROPY_PY_BTREE=0",
        "MICROPY_PY_FFI=0",
        "MICROPY_STANDALONE=0",
        "MICROPY_SSL_MBEDTLS=0",
        "MICROPY_SSL_AXTLS=0",
        f"CFLAGS_EXTRA={' '.join(compile_flags)}",
        f"LDFLAGS_EXTRA={' '.join(link_flags)}",
    )
    # Where these programs lie does not matter to what was built, only which they are.
    make = (
        "make",
        *options,
        f"--jobs={tools.jobs}",
        f"PYTHON={shlex.quote(tools.python)}",
        f"MICROPY_MPYCROSS={tools.mpy_cross}",
    )
    strip = ("strip", "--strip-all", "--remove-section=.comment")
    environment = {
        "LC_ALL": "C",
        "TZ": "UTC",
        # Nothing is written into the source tree, nor read from a repository around it.
        "PYTHONPYCACHEPREFIX": str(tree / "pycache"),
        "GIT_CEILING_DIRECTORIES": str(source.parent),
        "GIT_OPTIONAL_LOCKS": "0",
        "PYTHONHASHSEED": "0",
    }
    inputs = [options, strip, environment, tools.versions]
    return Plan(
        board=board.name,
        tree=tree,
        steps=(
            Step("compiling", make),
            Step("stripping", (*strip, "-o", str(executable), str(output / "micropython"))),
        ),
        dry_run=(*make, "--dry-run"),
        environment=environment | {"SOURCE_DATE_EPOCH": str(epoch)},
        fingerprint=hashlib.sha256(json.dumps(inputs).encode()).hexdigest(),
        executable=executable,
        compiled=output / "frozen_mpy",
        frozen_content=output / "frozen_content.c",
        library=library,
    )
