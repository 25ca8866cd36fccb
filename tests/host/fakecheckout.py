"""Makes a checkout of MicroPython with its library out of Debian's source, which has not all of it.

micropython_frozen.txt says which modules MicroPython's own ESP32 firmware freezes, and where a
release has them. The missing ones are made there, with a comment for their content and manifests
that name them, so that a manifest finds what it would find in a real checkout, and nothing else.
"""

from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from mqhost.build.sources.staging import lay_out
from mqhost.build.sources.upstream import LIBRARY

_RECORD = Path(__file__).with_name("micropython_frozen.txt")


class Recorded(NamedTuple):
    """A module that MicroPython freezes: its path on the board, its folder, its bundle or ""."""

    target: str
    folder: str
    bundle: str


def recorded() -> list[Recorded]:
    """Return what MicroPython's own firmware freezes."""
    lines = [line for line in _RECORD.read_text().splitlines() if not line.startswith("#")]
    return [Recorded(*f"{line} ".split(" ")[:3]) for line in lines]


def recorded_release() -> str:
    """Return the release that the record is of, as "v1.28.0"."""
    return _RECORD.read_text().split()[3].removesuffix("'s")


def make_checkout(source: Path, folder: Path) -> Path:
    """Make the checkout in `folder`, out of Debian's `source`; links where nothing differs."""
    lay_out(source, "esp32", folder)
    (folder / "lib").unlink()
    (folder / "lib").mkdir()
    for path in (source / "lib").iterdir():
        if path != source / LIBRARY:
            (folder / "lib" / path.name).symlink_to(path)
    manifests = defaultdict(list)
    for module in recorded():
        file = folder / module.folder / module.target
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"# {module.target}\n")
        package = folder / module.folder
        if package.is_relative_to(folder / LIBRARY):
            manifests[package].append(f'module("{module.target}")')
        if module.bundle:
            bundle = folder / LIBRARY / "micropython" / "bundles" / module.bundle
            manifests[bundle].append(f'require("{package.name}")')
    for package, lines in manifests.items():
        package.mkdir(parents=True, exist_ok=True)
        (package / "manifest.py").write_text("\n".join(lines) + "\n")
    (folder / LIBRARY / "README.md").touch()
    return folder


def snapshot(folder: Path) -> dict[str, int]:
    """Return every path below `folder` with the time of its last change."""
    return {str(path): path.lstat().st_mtime_ns for path in folder.rglob("*")}
