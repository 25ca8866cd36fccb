"""Measures what building in a container costs: from nothing, unchanged, after one module changed.

With the engine that runs, or one started for this, in a cache of its own with the sources at hand.
The image is there already: it is made once for years.
"""

import time
from pathlib import Path

from ci.bench import Figure, median
from ci.bench.build import cached_in, changed_module
from ci.bench.rig import Rig
from ci.engine import Engine, engine
from mqhost.build.build import build
from mqhost.build.builders.docker_image import Recipe, ensure_image
from mqhost.build.sources.source import Source, find_source

_VERSION = "bench.1"


def measure(rig: Rig) -> dict[str, Figure]:
    """cold_s: the whole build() in a container, into an empty cache; its limit is the native one.
    warm_s: again without a change; its limit is the native one, taking turns.
    change_s: after one frozen module changed; its limit is the native one, taking turns.
    warm_overhead_s: by how much the container's warm builds are slower; the median of the turns.
    """
    kept = find_source(rig.definition, None, rig.progress).path
    source = find_source(rig.definition, kept)
    turns = 3 if rig.quick else 5
    with engine(rig.progress) as running:
        ensure_image(running.client, Recipe.of(rig.definition, running.base), rig.progress)
        with cached_in(rig.folder / "cache-docker"):
            rig.progress("measuring docker: from nothing", 0, 0)
            colds = _both(rig, source, running, None)
            warms, changes = [], []
            for done in range(turns):
                rig.progress("measuring docker: again", done, turns)
                warms.append(_both(rig, source, running, None))
            # The module of that name joins what is frozen, which is a change of another kind.
            _both(rig, source, running, changed_module(rig))
            for done in range(turns):
                rig.progress("measuring docker: one module changed", done, turns)
                changes.append(_both(rig, source, running, changed_module(rig)))
    return {
        "cold_s": Figure(round(colds[0], 3), "s", 1, round(colds[1], 3)),
        "warm_s": _figure(warms),
        "change_s": _figure(changes),
        "warm_overhead_s": Figure(
            median(docker - native for docker, native in warms), "s", turns, aim=3
        ),
    }


def _figure(turns: list[tuple[float, float]]) -> Figure:
    """Make the figure of the container's seconds, against the native ones."""
    dockers, natives = zip(*turns, strict=True)
    return Figure(median(dockers), "s", len(turns), median(natives))


def _both(rig: Rig, source: Source, running: Engine, extra: Path | None) -> tuple[float, float]:
    """Return the seconds that build() takes in a container and natively."""
    return (
        _build(rig, source, extra, "docker", running.base),
        _build(rig, source, extra, "native", None),
    )


def _build(rig: Rig, source: Source, extra: Path | None, builder: str, base: str | None) -> float:
    started = time.monotonic()
    build(
        rig.definition,
        micropython=source.path,
        builder=builder,
        base_image=base,
        version=_VERSION,
        output=rig.folder / "output",
        extra_frozen=extra,
    )
    return time.monotonic() - started
