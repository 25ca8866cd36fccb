"""Prints what CI says of a build, from its build.json.

python3 -m ci.summary build/esp32/build.json          → a table of sizes, in Markdown
python3 -m ci.summary --name build/esp32/build.json   → what its bundle is called
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mqhost.artifacts.bundle import bundle_name


def size_table(report: Mapping[str, Any]) -> str:
    """Return the sizes of a build as Markdown: the image in its slot, then each frozen module."""
    size, slot = report["image_size"], report["slot_size"]
    rows = [
        ("app image", f"{size:,} B"),
        (f"slot {report['slot']}", f"{slot:,} B"),
        ("headroom", f"{slot - size:,} B ({100 * (slot - size) / slot:.0f} %)"),
        (f"{len(report['modules'])} frozen modules", f"{report['frozen_bytes']:,} B"),
        *_by_origin(report),
        ("MicroPython", report["micropython"]),
        ("SHA-256", f"`{report['sha256']}`"),
        ("built in", f"{report['seconds']:.0f} s"),
    ]
    modules = sorted(report["modules"].items(), key=lambda item: (-item[1], item[0]))
    return "\n".join(
        [
            f"### {report['board']} {report['version']}",
            "",
            *_table("", "", rows),
            "",
            "<details><summary>Frozen modules</summary>",
            "",
            *_table("module", "size", ((f"`{name}`", f"{size:,} B") for name, size in modules)),
            "",
            "</details>",
            "",
        ]
    )


def _by_origin(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what the frozen modules of each origin cost, as rows."""
    totals: dict[str, int] = {}
    for name, origin in report["origins"].items():
        totals[origin] = totals.get(origin, 0) + report["modules"][name]
    return [(f"from {origin}", f"{size:,} B") for origin, size in totals.items()]


def _table(left: str, right: str, rows: Any) -> list[str]:
    lines = [f"| {name} | {value} |" for name, value in rows]
    return [f"| {left} | {right} |", "| --- | ---: |", *lines]


def main() -> None:
    """Print the table, or with --name the name."""
    parser = argparse.ArgumentParser(description="Print what a build made, as Markdown.")
    parser.add_argument("--name", action="store_true", help="only the name of its bundle")
    parser.add_argument("report", type=Path, help="the build's build.json")
    options = parser.parse_args()
    report = json.loads(options.report.read_text())
    name = bundle_name(report["board"], report["version"])
    print(name if options.name else size_table(report))


if __name__ == "__main__":
    main()
