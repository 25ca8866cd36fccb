"""Builds a board's firmware: from its definition to app.bin, flash.bin, image.json and build.json,
with sbom.cdx.json and provenance.json, which say what it is made of and who made it.

    Board, keys → source → frozen files staged → plan → builder → executable → images → signature

The build tree lives in the cache and is gone on from by the next build of the same board and
source, on the unix port from other checkouts, too; a project with C of its own has its own there. A
lock keeps two builds apart. Outputs are replaced one by one, each whole or not at all.
"""

import hashlib
import json
import shutil
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from mqhost.attest.check import PROVENANCE
from mqhost.attest.statement import SBOM
from mqhost.build import additions, freeze
from mqhost.build.additions import Additions
from mqhost.build.board import Board
from mqhost.build.builders.choose import choose_builder
from mqhost.build.builders.native import (
    Builder,
    Echo,
    cores,
    mpy_cross_program,
    mpy_cross_version,
    mute,
)
from mqhost.build.evidence.writing import Evidence, Made, make_evidence
from mqhost.build.images import Images, check_failed_fit, make_images
from mqhost.build.layers import FILE, file_of
from mqhost.build.plan import C_MODULES_FILE, Plan, Tools, plan, refuse_spaces
from mqhost.build.result import BuildResult
from mqhost.build.revision import Revision, read_revision
from mqhost.build.sdkconfig import (
    C_MODULES,
    LocalOptions,
    composed,
    computed,
    fragment,
    own_sources,
    read_local,
    settings,
)
from mqhost.build.sources import upstream
from mqhost.build.sources.source import Source, find_source, planned_source
from mqhost.build.sources.staging import lay_out
from mqhost.build.toolchain import check_bytecode
from mqhost.errors import BuildError, UsageError
from mqhost.files import replace_file, writing
from mqhost.locks import locked
from mqhost.paths import BOARDS, BUILD, ROOT, cache_dir
from mqhost.progress import Progress, silent
from mqhost.signing.keys import SIGNING_KEY, BuildKeys, build_keys
from mqhost.signing.offer import Offer
from mqhost.signing.secure_boot import find_key
from mqhost.update.store import remember


def build(
    board: Board,
    *,
    micropython: Path | str | None = None,
    builder: str | None = None,
    base_image: str | None = None,
    version: str | None = None,
    output: Path | None = None,
    extra_frozen: Path | None = None,
    sdkconfig: Iterable[Path] = (),
    own: Additions | None = None,
    progress: Progress = silent,
    echo: Echo = mute,
) -> BuildResult:
    """Build the firmware of `board` and return what was made.

    `micropython`: a checkout, or the name of a release, to build instead of the board's own.
    `builder` and `base_image`: as for choose_builder. `version`: replaces the one that git tells.
    `output`: where the files go, by default build/<board>. `extra_frozen`: a folder of modules that
    are frozen on top; one of the same path replaces ours. `sdkconfig`: files of ESP-IDF options
    that replace the board's. `own`: what a project adds, which also tells the version then. `echo`
    hears every line that the compiler says. Raises ToolError: what is missing on the machine, what
    is wrong in the board's files, what did not compile or fit.
    """
    started = time.monotonic()
    refuse_spaces(cache_dir())
    local = read_local(board, sdkconfig)
    chosen = choose_builder(builder, board, base_image, progress)
    table = board.table
    revision = _revision(version, own)
    keys = build_keys() if board.signing == "required" else BuildKeys()
    if keys.made:
        progress(f"made the development key {keys.made}", 0, 0)
    if keys.public and not keys.signing:
        progress(f"no private key of {keys.name} here: image.sig is left out (mqboard sign)", 0, 0)
    # Before anything is compiled: without it the build would be for nothing.
    secure_key = find_key(board.secure.secure_boot) if board.secure.secure_boot else None
    tools = chosen.prepare(board, progress)
    source = find_source(board, micropython, progress)
    check_bytecode(source.path, mpy_cross_program())
    folder = output or BUILD / board.name
    work = plan_build(board, source, revision, tools, chosen.name, local, own)
    tree = work.tree
    with writing():
        tree.parent.mkdir(parents=True, exist_ok=True)
    with locked(tree.with_name(tree.name + ".lock"), progress):
        files = _frozen_files(board, source, revision, keys, extra_frozen, own)
        since = time.time()
        try:
            make_seconds = _compile(work, files, chosen, folder / "build.log", progress, echo)
        except BuildError as error:
            check_failed_fit(board, work, table, since)
            raise additions.told(error, own.c_modules if own else (), tree) from error
        modules = freeze.frozen_modules(files, work.compiled)
        progress("making the images", 0, 0)
        images = make_images(board, work, table, revision, source, secure_key)
        slot = table.slots[0]
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
            signature=folder / "image.sig",
            report=folder / "build.json",
            sbom=folder / SBOM,
            provenance=folder / PROVENANCE,
            log=folder / "build.log",
            sha256=hashlib.sha256(images.app).hexdigest(),
            signing=_signing(board, keys),
            secure=board.secure.words,
            image_size=len(images.app),
            flash_offset=board.flash_offset,
            slot=slot.label,
            slot_size=slot.size,
            modules=modules,
            sdkconfig=local,
            seconds=round(time.monotonic() - started, 3),
            make_seconds=round(make_seconds, 3),
        )
        starting = dict(own.modules) if own else {}
        facts = {"toolchain": chosen.toolchain, "application": starting}
        made = Made(board, revision, source, work, tuple(files), images, keys, tools, local, own)
        evidence = make_evidence(made, chosen, result.seconds)
        with writing():
            _write_outputs(result, board, revision, images, evidence, keys, tools, facts)
    return result


def plan_build(
    board: Board,
    source: Source,
    revision: Revision,
    tools: Tools,
    builder: str,
    local: Iterable[LocalOptions] = (),
    own: Additions | None = None,
) -> Plan:
    """Make the plan that `build` carries out, in the build tree that belongs to `board`, `source`
    and the builder of that name. `local`: options of ESP-IDF that replace the board's; `own`: what
    a project adds.
    """
    if not board.manifest.is_file():
        raise UsageError(
            f"{board.folder / FILE}: the manifest {board.manifest} is missing. Leave manifest out "
            "where the board extends another one, or name a file beside it."
        )
    trees = cache_dir() / "build"
    unix = board.port == "unix"
    sources = own_sources(board) if unix else composed(board)
    added = additions.c_sources(own.c_modules if own else (), board.port, sources)
    if added and not unix:
        added |= {C_MODULES_FILE: additions.cmake_text(added)}

    followed = _of_project(own, board, sources, added) if unix else set()

    def planned(tree: Path, tools: Tools, sources: Mapping[str, str]) -> Plan:
        return plan(
            board,
            source.path,
            tree,
            tools,
            revision.time,
            own_sources=sources,
            followed=followed & sources.keys(),
            release=f"v{source.version}",
            settings="" if unix else settings(board, source.path),
            sdkconfig="" if unix else computed(board) + fragment(local),
            layout_csv=board.layout_csv,
        )

    if unix:
        # Whichever checkout asks, as long as it compiles the same: what is frozen may differ.
        ours = {name: text for name, text in sources.items() if name not in followed}
        key = planned(trees / "any", replace(tools, versions=()), ours).fingerprint[:12]
        if own and own.root and followed:
            # Always the same one of a project, while people work on what it has in C.
            key = _key(key, own.root.name, board.name, *sorted(followed))
    else:
        key = _key(source.path, board.folder)
    # A board that only extends the simulated one is compiled as that is.
    name = board.folders[-1].name if unix else board.name
    return planned(trees / f"{name}-{builder}-{key}", tools, sources | added)


def _of_project(
    own: Additions | None, board: Board, sources: Mapping[str, str], added: Mapping[str, str]
) -> set[str]:
    """Return the names of what is the project's own among the `sources` that the unix port is built
    with, and what is `added` to them."""
    if not own or not own.root:
        return set()
    folders = [folder for folder in board.folders if not folder.is_relative_to(BOARDS)]
    inside = {name: name.removeprefix(f"{C_MODULES}/") for name in sources}
    boards = {name for name in sources if folders and file_of(folders, inside[name]).is_file()}
    return boards | added.keys()


def dry_run(
    board: Board,
    *,
    micropython: Path | str | None = None,
    builder: str | None = None,
    base_image: str | None = None,
    version: str | None = None,
    sdkconfig: Iterable[Path] = (),
    own: Additions | None = None,
) -> Plan:
    """Return the plan that `build` would carry out. Needs no compiler, engine or network, and makes
    nothing; what only those can tell is left out of it.
    """
    local = read_local(board, sdkconfig)
    source = planned_source(board, micropython)
    tools = Tools(sys.executable, mpy_cross_program(), (mpy_cross_version(),), cores())
    name = builder or ("docker" if board.toolchain else "native")
    return plan_build(board, source, _revision(version, own), tools, name, local, own)


def _revision(version: str | None, own: Additions | None) -> Revision:
    if not own or not own.root:
        return read_revision(version)
    return read_revision(version, own.root, own.version, own.inputs)


def _frozen_files(
    board: Board,
    source: Source,
    revision: Revision,
    keys: BuildKeys,
    extra: Path | None,
    own: Additions | None = None,
) -> list[freeze.FrozenFile]:
    """Return everything that is frozen: the manifest's modules, `mqbuild`, what a project adds, and
    `extra` on top.
    """
    port = source.path / "ports" / board.port
    variables = {
        "MPY_DIR": str(source.path),
        "MPY_LIB_DIR": str(source.path / upstream.LIBRARY),
        "PORT_DIR": str(port),
        "BOARD_DIR": str(board.folder),
    }
    constants = freeze.build_module(
        BOARD=board.name,
        MCU=board.mcu,
        VERSION=revision.version,
        SEQ=revision.time,
        COMMITTED=revision.committed,
        BUILD_TIME=revision.time,
        COMMIT=revision.commit,
        KEYS=tuple(key.modulus for key in keys.public),
    )
    try:
        files = [*freeze.read_manifest(board.manifest, variables), constants]
    except BuildError as error:
        if upstream.has_library(source.path):
            raise
        raise BuildError(
            f"{error}\n{source.path} comes without all of {upstream.LIBRARY}. To get it: "
            f"git -C {source.path} submodule update --init {upstream.LIBRARY}"
        ) from error
    if own:
        variables |= {"MQBOARD_DIR": str(ROOT), "PROJECT_DIR": str(own.root or "")}
        files = additions.merged(files, additions.frozen(own, variables, source))
    return freeze.replaced(files, extra) if extra else sorted(files, key=lambda f: f.target)


def _compile(
    work: Plan,
    files: list[freeze.FrozenFile],
    builder: Builder,
    log: Path,
    progress: Progress,
    echo: Echo,
) -> float:
    """Bring the build tree up to date; return the seconds the builder took."""
    stamp, busy = work.tree / "fingerprint", work.tree / "busy"
    known = stamp.read_text() if stamp.is_file() else ""
    if known != work.fingerprint or busy.exists():
        # Other flags, which make does not notice, or a build that did not come to its end.
        shutil.rmtree(work.tree, ignore_errors=True)
    work.library.mkdir(parents=True, exist_ok=True)
    # The build asks for this file to see that the submodule is there; what is frozen from it is
    # in the tree already.
    (work.library / "README.md").touch()
    for path, text in work.texts.items():
        # Only what is new: make compiles again what is younger than its objects.
        if not path.is_file() or path.read_text(errors="surrogateescape") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, errors="surrogateescape")
    if work.layout:
        lay_out(*work.layout)
    stamp.write_text(work.fingerprint)
    freeze.stage(files, work.tree, work.compiled, work.frozen_content)
    busy.touch()
    started = time.monotonic()
    builder.run(work, log, progress, echo)
    busy.unlink()
    return time.monotonic() - started


def _write_outputs(
    result: BuildResult,
    board: Board,
    revision: Revision,
    images: Images,
    evidence: Evidence,
    keys: BuildKeys,
    tools: Tools,
    facts: dict[str, Any],
) -> None:
    """Write the files; build.json has `facts`, too. The offer comes last: it tells whether app.bin
    is the one it means."""
    offer = Offer.make(
        images.app,
        board=board.name,
        mcu=board.mcu,
        chip_id=board.chip_id,
        version=revision.version,
        seq=revision.time,
        key=keys.name,
    )
    if keys.signing:
        offer = offer.signed(keys.signing.sign(offer.to_bytes()))
    report = (
        asdict(result)
        | result.sums
        | {
            "seq": revision.time,
            "keys": [key.id for key in keys.public],
            "tools": list(tools.versions),
        }
        | facts
    )
    paths = ("folder", "app", "flash", "offer", "signature", "report", "sbom", "provenance", "log")
    for name in (*paths, "signing"):
        del report[name]
    result.provenance.unlink(missing_ok=True)  # at no moment that of other images
    replace_file(result.app, images.app)
    replace_file(result.flash, images.flash)
    replace_file(result.sbom, evidence.sbom)
    replace_file(result.provenance, evidence.provenance)
    replace_file(result.report, json.dumps(report, indent=2).encode() + b"\n")
    result.signature.unlink(missing_ok=True)  # at no moment that of another offer
    if offer.signature:
        replace_file(result.signature, offer.signature)
    replace_file(result.offer, offer.to_bytes())
    remember(images.app, offer)


def _signing(board: Board, keys: BuildKeys) -> str:
    """Say for people what a build did about signing."""
    if board.signing == "none":
        return 'none: this firmware takes updates from everybody (signing = "none" in board.toml)'
    if keys.signing is None:
        return (
            f"not yet, there is no image.sig: only the public half of key {keys.name} is here. "
            f"Boards take it when it is signed, where the key is: {SIGNING_KEY}=KEY mqboard sign "
            "app.bin"
        )
    made = ", made now: keep it" if keys.made else ""
    return f"by key {keys.name} ({keys.signing.where}{made})"


def _key(*parts: Path | str) -> str:
    """Make a short name for what is built where: ESP-IDF's build keeps the paths in its tree."""
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:12]
