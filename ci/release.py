"""Checks that what is about to be published is the release that its tag names.

    python -m ci.release v1.2.3 dist   →   the changelog's text for it, on standard output

In the folder are one wheel and one sdist, both of that version, and the newest section of
CHANGELOG.md is about it. Only the standard library is needed here.
"""

import re
import sys
from pathlib import Path

from mqhost.errors import ToolError, UsageError
from mqhost.paths import ROOT

CHANGELOG = ROOT / "CHANGELOG.md"
UNRELEASED = "Unreleased"
_HEADING = re.compile(r"^## \[([^\]]+)\](?: - (\d{4}-\d{2}-\d{2}))?$", re.MULTILINE)
_TAG = re.compile(r"v(\d+\.\d+\.\d+(?:(?:a|b|rc)\d+)?)")


def sections(text: str) -> list[tuple[str, str, str]]:
    """Return the sections of a changelog, newest first: version, date ("" if none), text."""
    found = list(_HEADING.finditer(text))
    ends = [*(match.start() for match in found[1:]), len(text)]
    return [
        (match[1], match[2] or "", text[match.end() : end].strip())
        for match, end in zip(found, ends, strict=True)
    ]


def notes(tag: str, folder: Path, changelog: str) -> str:
    """Return what the changelog says of the release `tag`; UsageError where something is amiss."""
    match = _TAG.fullmatch(tag)
    if not match:
        raise UsageError(f"{tag} is no tag of a release: write it as v1.2.3, or v1.2.3rc1.")
    version = match[1]
    names = sorted(path.name for path in folder.iterdir())
    wanted = [f"mqboard-{version}-py3-none-any.whl", f"mqboard-{version}.tar.gz"]
    if names != wanted:
        raise UsageError(
            f"{folder} has {', '.join(names) or 'nothing'}, and {tag} is {' and '.join(wanted)}. "
            "Is the tag on the commit that was built, and nothing changed in the checkout?"
        )
    newest, date, text = sections(changelog)[0]
    if newest != version or not date or not text:
        raise UsageError(
            f"CHANGELOG.md begins with [{newest}]; before {tag} is published its newest section is "
            f"'## [{version}] - YYYY-MM-DD', and says what is new."
        )
    return text


def main(arguments: list[str]) -> int:
    """Print the notes of a release; return the exit code."""
    tag, folder = arguments
    try:
        print(notes(tag, Path(folder), CHANGELOG.read_text(encoding="utf-8")))
    except ToolError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
