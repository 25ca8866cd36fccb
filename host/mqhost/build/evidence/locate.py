"""Says what stands at a place of an app image, from what its build left: which frozen module.

    offset → segment, its program → address → linker's map → object → its symbols → module

A chip's build gives each constant a section of its own, which the map names; the simulated board's
has them all in one, and the object says what is where.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mqhost.flash import elf
from mqhost.flash.espimage import segments

# One input section: its name, address and size, and the file that it is of.
_INPUT = re.compile(r"^ (\.[\w.$-]+)\s+0x([0-9a-f]+)\s+0x([0-9a-f]+) (\S+)$", re.MULTILINE)
_FILES = ("micropython.map", "frozen_content.o")


@dataclass(frozen=True)
class Traces:
    """What a build left to find places by: the linker's map, and the object of frozen modules."""

    map: str
    frozen: bytes

    @classmethod
    def read(cls, make: Path) -> "Traces":
        """Read them in the folder that was built in; what is not there is empty."""
        found = [(make / name).read_bytes() if (make / name).is_file() else b"" for name in _FILES]
        return cls(found[0].decode(errors="replace"), found[1])


def locate(traces: Traces, app: bytes, offset: int, modules: Iterable[str]) -> str:
    """Return what stands at `offset` of the app image, as "frozen module mqboard/board.py"; "" if
    that cannot be told. `modules`: the paths of those that are frozen."""
    address = _address(app, offset)
    if address is None:
        return ""
    for match in _INPUT.finditer(traces.map):
        begin, size = int(match[2], 16), int(match[3], 16)
        if begin <= address < begin + size:
            return _named(traces, match[1], address - begin, Path(match[4]).name, modules)
    return ""


def _address(app: bytes, offset: int) -> int | None:
    """Return the address of the byte: of the chip, or in the program that the segment holds."""
    for segment in segments(app):
        if segment.offset <= offset < segment.offset + segment.size:
            program = app[segment.offset : segment.offset + segment.size]
            inside = offset - segment.offset
            found = elf.address_at(program, inside)
            return found if program[:4] == b"\x7fELF" else segment.address + inside
    return None


def _named(traces: Traces, section: str, inside: int, file: str, modules: Iterable[str]) -> str:
    """Say what stands `inside` a section of the object `file`."""
    symbol = section.partition(".")[2].partition(".")[2]
    if "frozen_content" not in file:
        return f"{symbol} of {file}" if symbol else file
    for one in elf.symbols(traces.frozen):
        if one.section == section and one.begin <= inside < one.begin + one.size:
            symbol = one.name
    # As in fun_data_mqboard_mqtt_client_Client; the longest, which is not mqboard_mqtt.
    names = {path.removesuffix(".py").replace("/", "_"): path for path in modules}
    fits = [name for name in names if f"_{name}_" in f"_{symbol}_"]
    if fits:
        return f"frozen module {names[max(fits, key=len)]}"
    return "what all frozen modules share"
