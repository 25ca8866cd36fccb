"""Holds what a build made: where its files are, and the figures that people and records want."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mqhost.build import freeze
from mqhost.build.sdkconfig import LocalOptions


@dataclass(frozen=True)
class BuildResult:
    """What a build made. Sizes are in bytes; `modules` are the frozen ones; `flash_offset` is the
    address at which `flash` begins; `secure`: what the chip protects; `sdkconfig` are the local
    options; `seconds` is the whole build, `make_seconds` the part of the builder."""

    board: str
    version: str
    commit: str
    builder: str
    micropython: str
    folder: Path
    app: Path
    flash: Path
    offer: Path
    signature: Path
    report: Path
    sbom: Path
    provenance: Path
    log: Path
    sha256: str
    signing: str
    secure: str
    image_size: int
    slot: str
    slot_size: int
    flash_offset: int
    modules: tuple[freeze.Module, ...]
    sdkconfig: tuple[LocalOptions, ...]
    seconds: float
    make_seconds: float

    @property
    def headroom(self) -> int:
        """The bytes that the slot has left."""
        return self.slot_size - self.image_size

    @property
    def frozen_bytes(self) -> int:
        """The compiled bytes of all frozen modules."""
        return sum(module.size for module in self.modules)

    @property
    def sums(self) -> dict[str, Any]:
        """What follows from the rest, for records: sums, and the modules by their paths."""
        return {
            "headroom": self.headroom,
            "frozen_bytes": self.frozen_bytes,
            "modules": {module.path: module.size for module in self.modules},
            "origins": {module.path: module.origin for module in self.modules},
        }
