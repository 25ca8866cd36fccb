"""Measures how long a build takes: from nothing, and after one frozen module changed.

All in a cache of its own, with the sources that the machine's cache has already: downloads are not
measured, and nobody's build tree is touched.
"""

import contextlib
import itertools
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from ci.bench import Figure, median
from ci.bench.rig import Rig
from ci.engine import unavailable
from ci.reproduce import builds
from mqhost import packages
from mqhost.build.build import build, plan_build
from mqhost.build.builders.native import NativeBuilder
from mqhost.build.plan import Plan
from mqhost.build.revision import read_revision
from mqhost.build.sources.source import Source, find_source
from mqhost.errors import ToolError
from mqhost.paths import FROZEN

_MODULE = "mqboard/identity.py"  # the frozen module that changes
_VERSION = "bench.1"
_CACHE = "MQBOARD_CACHE"
_INHERITED = ("PATH", "HOME", "TMPDIR")

_numbers = itertools.count()


def measure(rig: Rig) -> dict[str, Figure]:
    """cold_s: the whole build() into an empty cache, sources at hand.
    rebuild_s: the whole build() after one frozen module changed, up to the written images; its
    limit is the bare make.
    rebuild_ratio: that over the same make (same argv and environment, same build tree, the same
    kind of change), run by hand right before; the median of the runs' ratios.
    reproducible: 1 if the last commit gives the same bytes however it is built.
    """
    packages.ensure("build", say=lambda line: rig.progress(line, 0, 0))
    kept = find_source(rig.definition, None, rig.progress).path
    source = find_source(rig.definition, kept)  # as build() finds it when it is given the folder
    colds, rebuilds, makes = [], [], []
    for number in range(1 if rig.quick else 3):
        rig.progress("measuring build: from nothing", 0, 0)
        with cached_in(rig.folder / f"cache-{number}"):
            colds.append(_build(rig, source, None))
            if number:
                continue
            # In the first tree, which is as good as any other.
            _build(rig, source, changed_module(rig))
            work = _plan(rig, source)
            for done in range(3 if rig.quick else 5):
                rig.progress("measuring build: one module changed", done, 0)
                makes.append(_bare_make(work))
                rebuilds.append(_build(rig, source, changed_module(rig)))
    ratio = median(whole / bare for whole, bare in zip(rebuilds, makes, strict=True))
    runs = len(rebuilds)
    reproduced = reproduce(rig)
    return {
        "cold_s": Figure(median(colds), "s", len(colds)),
        "rebuild_s": Figure(median(rebuilds), "s", runs, median(makes), aim=5),
        "rebuild_ratio": Figure(ratio, "of make", runs, 1.0, aim=2),
        "reproducible": reproduced,
    }


def reproduce(rig: Rig) -> Figure:
    """Build the last commit in ways as different as this machine has (ci/reproduce.py): 1 if all
    gave the same bytes; with a container only where there is an engine, or one can be started."""
    docker = not rig.quick and not unavailable(rig.quick)
    found = builds("sim", rig.folder / "reproduce", docker=docker, progress=rig.progress)
    same = len({(one.app, one.flash, one.sbom) for one in found}) == 1
    return Figure(int(same), "yes or no", len(found), aim=1, at_least=True, part=not docker)


@contextlib.contextmanager
def cached_in(folder: Path) -> Iterator[None]:
    """Let `folder` be the cache folder in the `with` block."""
    before = os.environ.get(_CACHE)
    os.environ[_CACHE] = str(folder)
    try:
        yield
    finally:
        os.environ.pop(_CACHE)
        if before is not None:
            os.environ[_CACHE] = before


def _build(rig: Rig, source: Source, extra: Path | None) -> float:
    """Return the seconds that a build takes."""
    started = time.monotonic()
    build(
        rig.definition,
        micropython=source.path,
        builder=NativeBuilder.name,
        version=_VERSION,
        output=rig.folder / "output",
        extra_frozen=extra,
    )
    return time.monotonic() - started


def _plan(rig: Rig, source: Source) -> Plan:
    """Return the plan that the native builder carries out."""
    native = NativeBuilder()
    tools = native.prepare(rig.definition)
    return plan_build(rig.definition, source, read_revision(_VERSION), tools, native.name)


def changed_module(rig: Rig) -> Path:
    """Make a folder with the module, changed, to freeze on top."""
    module = rig.folder / "frozen" / _MODULE
    module.parent.mkdir(parents=True, exist_ok=True)
    module.write_text(_module_text())
    return rig.folder / "frozen"


def _bare_make(work: Plan) -> float:
    """Return the seconds that the plan's make takes after the staged module was changed."""
    (work.tree / "frozen" / _MODULE).write_text(_module_text())
    environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    started = time.monotonic()
    result = subprocess.run(
        work.steps[0].argv,
        env=environment | dict(work.environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )
    if result.returncode:
        raise ToolError(f"The bare make failed:\n{(result.stdout + result.stderr)[-1500:]}")
    return time.monotonic() - started


def _module_text() -> str:
    """Return the module's text with a constant that it never had before."""
    return (FROZEN / _MODULE).read_text() + f"\nBENCH = {next(_numbers)}\n"
