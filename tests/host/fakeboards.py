"""Makes a checkout of MicroPython that has nothing but its ESP32 boards, out of a record of facts.

micropython_boards.json says of MicroPython v1.28.0 which boards there are, for which chip, of which
sdkconfig fragments, with which C options, and what their board.json holds; and what is set by
those fragments that our boards leave out.
"""

import json
from pathlib import Path
from typing import Any

RECORD: dict[str, Any] = json.loads(Path(__file__).with_name("micropython_boards.json").read_text())


def make_boards(folder: Path) -> Path:
    """Lay out MicroPython's boards below `folder`; return that."""
    port = folder / "ports" / "esp32"
    major, minor, micro = RECORD["release"][1:].split(".")
    version = {"MAJOR": major, "MINOR": minor, "MICRO": micro}
    header = [f"#define MICROPY_VERSION_{part} {number}" for part, number in version.items()]
    _write(folder / "py" / "mpconfig.h", header)
    for target in RECORD["targets"]:
        lines = ["dependencies:", "  idf:", "    source:", "      type: idf"]
        lines += [f"    version: {RECORD['idf']}", f"target: {target}"]
        _write(port / "lockfiles" / f"dependencies.lock.{target}", lines)
    for fragment, lines in RECORD["fragments"].items():
        _write(port / fragment, ["# options", *lines])
    for name, board in RECORD["boards"].items():
        own = port / "boards" / name
        _write(own / "mpconfigboard.cmake", _cmake(board))
        for variant, fragments in board["variants"].items():
            lines = ["set(SDKCONFIG_DEFAULTS", *(f"    {item}" for item in fragments), ")"]
            _write(own / f"mpconfigvariant_{variant}.cmake", lines)
        defines = [f"#define {option} {value}" for option, value in board["header"].items()]
        _write(own / "mpconfigboard.h", defines)
        record = dict.fromkeys(board["keys"], "") | {"features": board["features"]}
        record |= {
            "mcu": board["target"],
            "deploy_options": {"flash_offset": board["flash_offset"]},
        }
        _write(own / "board.json", [json.dumps(record)])
    _write(port / "boards" / "OTHER" / "board.json", [json.dumps({"features": RECORD["features"]})])
    return folder


def _cmake(board: dict[str, Any]) -> list[str]:
    lines = [] if board["target"] == "esp32" else [f"set(IDF_TARGET {board['target']})", ""]
    return lines + ["set(SDKCONFIG_DEFAULTS", *(f"    {item}" for item in board["fragments"]), ")"]


def _write(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
