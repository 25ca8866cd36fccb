"""Makes the documents that a program can write better than people: docs/cli.md.

`./invoke docs` calls `write`; a test tells when what stands in the checkout is not what would be
written.
"""

from ci.docs.reference import reference
from mqhost.paths import ROOT

PAGE = ROOT / "docs" / "cli.md"


def write() -> str:
    """Write docs/cli.md anew; return what to tell about it."""
    text = reference()
    if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == text:
        return f"{PAGE.relative_to(ROOT)} is up to date."
    PAGE.write_text(text, encoding="utf-8")
    return f"{PAGE.relative_to(ROOT)} is written anew."
