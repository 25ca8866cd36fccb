"""Makes the plan of a build: which programs run, in which order, with which arguments.

Pure: nothing here touches a file or runs anything, so a test can look at a plan without a compiler.
A builder (see builders) carries it out.
"""

import hashlib
import json
import re
import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from mqhost.build.board import Board
from mqhost.build.sdkconfig import BOARD_FILES, C_MODULES
from mqhost.errors import UsageError
from mqhost.paths import DOCKER

# Enters the toolchain's environment and runs the command it is given; in a container just so.
SCRIPT = DOCKER / "build.sh"
# For ESP-IDF's build, the file that names a project's modules in C.
C_MODULES_FILE = "modules.cmake"

# What ESP-IDF's programs take from the environment: where IDF and its tools are, and the network.
_IDF_ENVIRONMENT = (
    "IDF_*",
    "ESP_*",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
)


# What is told apart in C, as far as `outward` has to.
_INCLUDED = re.compile(r'^[ \t]*#[ \t]*include[ \t]*["<]([^">\n]*)', re.M)
_OUTWARD = re.compile(r"^[ \t]*#.*$|\b[A-Z]\w*", re.M)
# A text stays, as one may look like a comment.
_COMMENT = re.compile(r"""("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')|//[^\n]*|/\*.*?\*/""", re.S)


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
    Steps run in `tree`, and write nowhere else but `caches`; `reads` are the files and folders
    outside of it that they read. `dry_run` lists the commands of the first step without running
    them (empty where that cannot be had); `environment` is set on top of a bare one that holds the
    `inherited` variables (names, or patterns as of fnmatch).

    `executable` is what is compiled: the program that goes into an app image, or the app image
    itself when `flash` names the flash image made with it. Before the steps run, the files `texts`
    are written, and MicroPython's source is laid out as `layout` says (portcopy.lay_out).
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
    reads: tuple[Path, ...] = ()
    caches: tuple[Path, ...] = ()
    inherited: tuple[str, ...] = ()
    flash: Path | None = None
    texts: Mapping[Path, str] = field(default_factory=dict)
    layout: tuple[Path, str, Path] | None = None


def plan(
    board: Board,
    source: Path,
    tree: Path,
    tools: Tools,
    epoch: int,
    *,
    own_sources: Mapping[str, str] = MappingProxyType({}),
    followed: Collection[str] = (),
    release: str = "",
    settings: str = "",
    sdkconfig: str = "",
    layout_csv: str = "",
) -> Plan:
    """Make the plan that builds `board` from MicroPython's `source` in `tree`.

    `epoch`: the time, in Unix seconds, that stands for "now" in the image. On the unix port,
    `own_sources` are the board's headers and modules in C, texts by their names. On the ESP32
    port they are the folder of a board out of several, and a project's modules in C, with the file
    that names them. `followed`: which of them people work on, of the unix port's (see `outward`).
    `release` is what MicroPython calls itself. On the ESP32 port, `settings` stands for what the
    build tree is configured from: with others it is made anew; `sdkconfig` are options that come
    last, and `layout_csv` is the partition table. The manifest of what is frozen is expected in
    `tree`/manifest.py.
    """
    if board.port == "esp32":
        texts = {tree / "partitions.csv": layout_csv, tree / "sdkconfig.local": sdkconfig}
        return _plan_esp32(board, source, tree, tools, epoch, own_sources, release, settings, texts)
    return _plan_unix(board, source, tree, tools, epoch, own_sources, followed, release)


def _plan_unix(
    board: Board,
    source: Path,
    tree: Path,
    tools: Tools,
    epoch: int,
    own_sources: Mapping[str, str],
    followed: Collection[str],
    release: str,
) -> Plan:
    """Plan MicroPython's unix port, linked with the system's mbedTLS whatever the source says. No
    path of the checkout is in what make compares: other checkouts may go on from the same tree."""
    refuse_spaces(tree, source)
    output = tree / "make"
    library = tree / "library"
    executable = tree / "firmware"
    folder = tree / "board"
    maps = [f"-ffile-prefix-map={tree}=build", f"-ffile-prefix-map={source}=micropython"]
    compile_flags = [
        "-fno-pie",  # at fixed addresses, as a chip's: a pointer is no relocation as well
        "-DMICROPY_PY_OS_DUPTERM=1",
        # Off in make, on in C: make would want mbedTLS's sources, a submodule few trees have.
        "-DMICROPY_SSL_MBEDTLS=1",
        '-DMBEDTLS_CONFIG_FILE=\\"mbedtls_config.h\\"',
        f"-I{folder}",
        *maps,
    ]
    link_flags = ["-no-pie", "-lmbedx509", "-lmbedtls", "-lmbedcrypto", "-Wl,--build-id=none"]
    options = (
        f"--directory={source / 'ports' / 'unix'}",
        f"VARIANT={board.based_on}",
        f"BUILD={output}",
        f"FROZEN_MANIFEST={tree / 'manifest.py'}",
        f"USER_C_MODULES={folder / C_MODULES}",
        "MICROPY_MPYCROSS_DEPENDENCY=",
        f"MPY_LIB_DIR={library}",
        "MICROPY_PY_BTREE=0",
        "MICROPY_PY_FFI=0",
        "MICROPY_STANDALONE=0",
        "MICROPY_SSL_MBEDTLS=0",
        "MICROPY_SSL_AXTLS=0",
        # The board's mpconfigvariant.h, found before the variant's own, adds to that.
        f"COPT=-Os -DNDEBUG -I{folder}",
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
        # Else asked of git, whose answer depends on who asks and how the source was cloned.
        "MICROPY_GIT_TAG": release,
        # Nothing is written into the source tree, nor read from a repository around it.
        "PYTHONPYCACHEPREFIX": str(tree / "pycache"),
        "GIT_CEILING_DIRECTORIES": str(source.parent),
        "GIT_OPTIONAL_LOCKS": "0",
        "PYTHONHASHSEED": "0",
    }
    # With another header of the board's, make would not look for new names in what includes it.
    inputs = [options, strip, environment, tools.versions, outward(own_sources, followed)]
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
        reads=(source, Path(tools.python), Path(tools.mpy_cross)),
        texts={folder / name: text for name, text in own_sources.items()},
    )


def _plan_esp32(
    board: Board,
    source: Path,
    tree: Path,
    tools: Tools,
    epoch: int,
    own_sources: Mapping[str, str],
    release: str,
    settings: str,
    texts: Mapping[Path, str],
) -> Plan:
    """MicroPython's ESP32 port, out of a copy of its folder: ESP-IDF writes the components it
    downloads, and their lock file, into the folder of the project that it builds."""
    composed = tree / BOARD_FILES / board.name
    own = own_sources.keys()
    folder = composed if any(name.startswith(f"{BOARD_FILES}/") for name in own) else board.folder
    boards = () if folder == composed else (folder.parent,)
    refuse_spaces(tree, source, folder)
    output = tree / "make"
    library = tree / "library"
    copy = tree / "micropython"
    caches = tree.parents[1] / "ccache", tree.parents[1] / "components"
    maps = [(tree, "build"), (source, "micropython"), *((path, "boards") for path in boards)]
    variables: dict[str, Path | str] = {
        "MICROPY_LIB_DIR": library,
        "MQBOARD_PARTITIONS": tree / "partitions.csv",
        "MQBOARD_SDKCONFIG": tree / "sdkconfig.local",
    }
    if board.spiram:
        variables["MQBOARD_SPIRAM"] = board.spiram
    if C_MODULES_FILE in own:
        variables["MQBOARD_C_MODULES"] = tree / C_MODULES_FILE
    options = (
        f"--directory={copy / 'ports' / 'esp32'}",
        f"BOARD={board.name}",
        f"BOARD_DIR={folder}",
        f"BUILD={output}",
        f"FROZEN_MANIFEST={tree / 'manifest.py'}",
        "CMAKE_ARGS=" + " ".join(f"-D{name}={value}" for name, value in variables.items()),
    )
    environment = {
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "IDF_TARGET": board.mcu,  # ESP-IDF stops if somebody's shell names another one
        # Else asked of git, whose answer depends on who asks and how the source was cloned.
        "MICROPY_GIT_TAG": release,
        # The image has the hash of the program, debugging information and all: of each folder that
        # something is included from, no path may be in it.
        "CFLAGS_EXTRA": " ".join(f"-ffile-prefix-map={path}={name}" for path, name in maps),
        "PYTHONPYCACHEPREFIX": str(tree / "pycache"),
        "GIT_CEILING_DIRECTORIES": str(tree),
        "GIT_OPTIONAL_LOCKS": "0",
        "PYTHONHASHSEED": "0",
        "CCACHE_DIR": str(caches[0]),
        "IDF_COMPONENT_CACHE_PATH": str(caches[1]),
    }
    inputs = [options, environment, tools.versions, board.toolchain, settings, *texts.values()]
    if own:  # which files there are; what is new in one of them, make sees by itself
        inputs.append(sorted(own))
    return Plan(
        board=board.name,
        tree=tree,
        steps=(Step("compiling", ("bash", str(SCRIPT), board.port, "make", *options)),),
        dry_run=(),
        environment=environment
        | {"MICROPY_MPYCROSS": tools.mpy_cross, "SOURCE_DATE_EPOCH": str(epoch)},
        fingerprint=hashlib.sha256(json.dumps(inputs).encode()).hexdigest(),
        executable=output / "micropython.bin",
        compiled=output / "frozen_mpy",
        frozen_content=output / "frozen_content.c",
        library=library,
        reads=(source, *boards, SCRIPT, Path(tools.mpy_cross)),
        caches=caches,
        inherited=_IDF_ENVIRONMENT,
        flash=output / "firmware.bin",
        texts={**texts} | {tree / name: text for name, text in own_sources.items()},
        layout=(source, board.port, copy),
    )


def outward(sources: Mapping[str, str], followed: Collection[str] = ()) -> dict[str, object]:
    """Return of each of `sources` what of it the rest of a build tree is made from: all of it, and
    of a C file among `followed` only the names that it may add to MicroPython's tables.

    In such a file the rest may change, and make compiles that file again; it does not notice which
    names have gone, which headers bring new ones, or that a C file is included in another.
    """
    mine = [sources[name] for name in followed]
    if any("##" in text for text in mine):  # names are put together: who knows which
        return dict(sources)
    included = {Path(name).name for text in mine for name in _INCLUDED.findall(text)}
    return {
        name: _names(text)
        if name in followed and name.endswith(".c") and Path(name).name not in included
        else text
        for name, text in sources.items()
    }


def _names(text: str) -> list[str]:
    """Return what may be macros in a C file, and its preprocessor's lines, without comments."""
    code = _COMMENT.sub(lambda found: found[1] or " ", text.replace("\\\n", " "))
    return sorted({" ".join(found.split()) for found in _OUTWARD.findall(code)})


def refuse_spaces(*paths: Path) -> None:
    """Raise UsageError if a path has a space in it, where make would take it for two."""
    for path in paths:
        if len(str(path).split()) != 1:
            raise UsageError(
                f"make cannot work in a folder with a space in its path: {path}. "
                "Set MQBOARD_CACHE to another folder, or move the checkout."
            )
