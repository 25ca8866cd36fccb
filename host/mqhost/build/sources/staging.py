"""Lays MicroPython's source out for a build that writes beside what it builds.

ESP-IDF puts the components it downloads, and their lock file, into the folder of the project that
is built: ports/esp32. So that a source tree is only ever read, the build gets a folder in which
that one port is a copy and everything else a link to the source. Bringing the copy up to date
touches only files that changed, so that what was compiled stays good.
"""

import shutil
from pathlib import Path

# What builds leave in a port's folder, in the source or in the copy; never taken over.
_LEFT_BY_BUILDS = ("managed_components", "build", "build-*", "sdkconfig", "__pycache__")
# Copied once: ESP-IDF keeps it up to date with the components that it downloaded.
_KEPT = "lockfiles"


def lay_out(source: Path, port: str, target: Path) -> None:
    """Make `target` look like MicroPython's `source`, with ports/`port` as a copy of its own."""
    ports = target / "ports"
    ports.mkdir(parents=True, exist_ok=True)
    _link_all(source, target, {"ports", ".git"})
    _link_all(source / "ports", ports, {port})
    _copy(source / "ports" / port, ports / port)


def _link_all(source: Path, target: Path, but: set[str]) -> None:
    """Make `target` hold a link to each entry of `source`, except those named in `but`."""
    wanted = {path.name: path for path in source.iterdir() if path.name not in but}
    for link in target.iterdir():
        if link.is_symlink() and (link.name not in wanted or link.readlink() != wanted[link.name]):
            link.unlink()
    for name, path in wanted.items():
        if not (target / name).is_symlink():
            (target / name).symlink_to(path)


def _copy(source: Path, target: Path, top: bool = True) -> None:
    """Make `target` a copy of the folder `source`, except for what builds leave at its top."""
    target.mkdir(exist_ok=True)
    entries = {path.name: path for path in source.iterdir()}
    for old in list(target.iterdir()):
        if old.name not in entries and not (top and _left_by_build(old)):
            shutil.rmtree(old) if old.is_dir() else old.unlink()
    for name, path in entries.items():
        copy = target / name
        if top and (_left_by_build(path) or (name == _KEPT and copy.exists())):
            continue
        if path.is_dir():
            _copy(path, copy, top=False)
        elif not _same(path, copy):
            shutil.copy2(path, copy)


def _left_by_build(path: Path) -> bool:
    return any(path.match(pattern) for pattern in _LEFT_BY_BUILDS)


def _same(path: Path, copy: Path) -> bool:
    """Return whether size and time of two files agree, as they do after copy2."""
    if not copy.exists():
        return False
    one, other = path.stat(), copy.stat()
    return (one.st_size, one.st_mtime_ns) == (other.st_size, other.st_mtime_ns)
