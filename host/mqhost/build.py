"""Build a board's firmware: from its definition to app.bin, flash.bin, image.json and build.json.

    Board → source → frozen files staged → plan → builder → executable → images

The build tree lives in the cache and is gone on from by the next build of the same board and
source; a lock keeps two builds apart. Outputs are replaced one by one, each whole or not at all.
"""

import hashlib
import json
import os
import shutil
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from mqhost import freeze
from mqhost.board import Board
from mqhost.builder import Builder, Echo, mute
from mqhost.builders import choose_builder
from mqhost.errors import BuildError
from mqhost.espimage import build_app_image
from mqhost.lock import locked
from mqhost.offer import Offer
from mqhost.partition import TABLE_OFFSET, Partition, PartitionTable
from mqhost.paths import BUILD, cache_dir
from mqhost.plan import Plan, Tools, plan
from mqhost.progress import Progress, silent
from mqhost.revision import Revision, read_revision
from mqhost.source import Source, find_source


@dataclass(frozen=True)
class BuildResult:
    """What a build made. Sizes are in bytes; `modules` are the frozen ones with the bytes of their
    compiled code; `seconds` is the whole build, `make_seconds` the part of the builder."""

    board: str
    version: str
    commit: str
    builder: str
    micropython: str
    folder: Path
    app: Path
    flash: Path
    offer: Path
    report: Path
    log: Path
    sha256: str
    image_size: int
    slot: str
    slot_size: int
    modules: tuple[tuple[str, int], ...]
    seconds: float
    make_seconds: float

    @property
    def headroom(self) -> int:
        """How many bytes the slot has left."""
        return self.slot_size - self.image_size

    @property
    def frozen_bytes(self) -> int:
        """The compiled bytes of all frozen modules."""
        return sum(size for _, size in self.modules)


def build(
    board: Board,
    *,
    micropython: Path | None = None,
    builder: str | None = None,
    version: str | None = None,
    output: Path | None = None,
    extra_frozen: Path | None = None,
    progress: Progress = silent,
    echo: Echo = mute,
) -> BuildResult:
    """Build the firmware of `board` and return what was made.

    `micropython`: a checkout to build instead of the board's release. `version`: replaces the one
    that git tells. `output`: where the files go, by default build/<board>. `extra_frozen`: a folder
    of modules that are frozen on top; one of the same path replaces ours. `echo` hears every line
    that the compiler says. Raises ToolError: what is missing on the machine, what is wrong in the
    board's files, what did not compile or fit.
    """
    started = time.monotonic()
    chosen = choose_builder(builder, board)
    table = PartitionTable.load(board.partitions, board.flash_size)
    revision = read_revision(version)
    tools = chosen.prepare(board, progress)
    source = find_source(board.micropython, micropython, progress)
    folder = output or BUILD / board.name
    work = plan_build(board, source, revision, tools, chosen.name)
    tree = work.tree
    with locked(tree.with_name(tree.name + ".lock"), progress):
        files = _frozen_files(board, source, revision, extra_frozen)
        make_seconds = _compile(work, files, chosen, folder / "build.log", progress, echo)
        executable = work.executable.read_bytes()
        modules = freeze.compiled_sizes(files, work.compiled)
        progress("making the images", 0, 0)
        app = build_app_image(
            executable,
            chip_id=board.chip_id,
            project=f"mqboard-{board.name}",
            version=revision.version,
            build_time=revision.time,
            idf_version=f"MicroPython {source.version}",
        )
        slot = table.slots[0]
        check_fit(board, len(app), slot)
        result = BuildResult(
            board=board.name,
            version=revision.version,
            commit=revision.commit,
            builder=chosen.name,
            micropython=f"{source.version} ({source.origin})",
            folder=folder,
            app=folder / "app.bin",
            flash=folder / "flash.bin",
            offer=folder / "image.json",
            report=folder / "build.json",
            log=folder / "build.log",
            sha256=hashlib.sha256(app).hexdigest(),
            image_size=len(app),
            slot=slot.label,
            slot_size=slot.size,
            modules=modules,
            seconds=round(time.monotonic() - started, 3),
            make_seconds=round(make_seconds, 3),
        )
        _write_outputs(result, board, revision, app, table, tools, chosen.toolchain)
    return result


def plan_build(
    board: Board, source: Source, revision: Revision, tools: Tools, builder: str
) -> Plan:
    """The plan that `build` carries out, in the build tree that belongs to `board`, `source` and
    the builder of that name."""
    tree = cache_dir() / "build" / f"{board.name}-{builder}-{_key(source.path, board.folder)}"
    return plan(board, source.path, tree, tools, revision.time)


def check_fit(board: Board, size: int, slot: Partition) -> None:
    """Raise BuildError, with the numbers and what to do, if `size` bytes do not fit `slot`."""
    if size > slot.size:
        raise BuildError(
            f"app.bin is {size:,} B; slot {slot.label} holds {slot.size:,} B, "
            f"{size - slot.size:,} B too few. Remove modules from {board.manifest} or use a board "
            f"with larger slots ({board.partitions})."
        )


def flash_image(app: bytes, table: PartitionTable) -> bytes:
    """The flash from address 0 to the end of `app` in the first slot, erased where nothing is."""
    start = table.slots[0].offset
    before = b"\xff" * TABLE_OFFSET + table.to_bytes()
    return before.ljust(start, b"\xff") + app


def _frozen_files(
    board: Board, source: Source, revision: Revision, extra: Path | None
) -> list[freeze.FrozenFile]:
    """Everything that is frozen: the manifest's modules, `mqbuild`, and `extra` on top."""
    port = source.path / "ports" / board.port
    library = source.path / "lib" / "micropython-lib"
    variables = {
        "MPY_DIR": str(source.path),
        "MPY_LIB_DIR": str(library) if (library / "README.md").is_file() else "",
        "PORT_DIR": str(port),
        "BOARD_DIR": str(board.folder),
    }
    constants = freeze.build_module(
        BOARD=board.name,
        MCU=board.mcu,
        VERSION=revision.version,
        SEQ=revision.time,
        BUILD_TIME=revision.time,
        COMMIT=revision.commit,
    )
    files = [*freeze.read_manifest(board.manifest, variables), constants]
    return freeze.replaced(files, extra) if extra else sorted(files, key=lambda f: f.target)


def _compile(
    work: Plan,
    files: list[freeze.FrozenFile],
    builder: Builder,
    log: Path,
    progress: Progress,
    echo: Echo,
) -> float:
    """Bring the build tree up to date; the seconds the builder took."""
    stamp, busy = work.tree / "fingerprint", work.tree / "busy"
    known = stamp.read_text() if stamp.is_file() else ""
    if known != work.fingerprint or busy.exists():
        # Other flags, which make does not notice, or a build that was killed in the middle.
        shutil.rmtree(work.tree, ignore_errors=True)
    work.library.mkdir(parents=True, exist_ok=True)
    # The build asks for this file to see that the submodule is there; we freeze nothing from it.
    (work.library / "README.md").touch()
    stamp.write_text(work.fingerprint)
    freeze.stage(files, work.tree, work.compiled, work.frozen_content)
    busy.touch()
    started = time.monotonic()
    try:
        builder.run(work, log, progress, echo)
    finally:
        busy.unlink()
    return time.monotonic() - started


def _write_outputs(
    result: BuildResult,
    board: Board,
    revision: Revision,
    app: bytes,
    table: PartitionTable,
    tools: Tools,
    toolchain: str,
) -> None:
    """Write the four files. The offer comes last: it tells whether app.bin is the one it means."""
    offer = Offer.make(
        app, board=board.name, mcu=board.mcu, version=revision.version, seq=revision.time
    )
    report = asdict(result) | {
        "seq": revision.time,
        "headroom": result.headroom,
        "frozen_bytes": result.frozen_bytes,
        "modules": dict(result.modules),
        "tools": list(tools.versions),
        "toolchain": toolchain,
    }
    for name in ("folder", "app", "flash", "offer", "report", "log"):
        del report[name]
    _write(result.app, app)
    _write(result.flash, flash_image(app, table))
    _write(result.report, json.dumps(report, indent=2).encode() + b"\n")
    _write(result.offer, offer.to_bytes())


def _write(path: Path, data: bytes) -> None:
    """Replace the file by one with `data`: a reader sees the old bytes or the new ones."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name, delete=False) as file:
        try:
            file.write(data)
            file.close()
            os.chmod(file.name, 0o644)
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise


def _key(*folders: Path) -> str:
    """A short name for what is built where: checkouts of the project do not share a tree."""
    return hashlib.sha256("\n".join(map(str, folders)).encode()).hexdigest()[:12]
