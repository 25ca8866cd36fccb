"""Makes the documents that a program can write better than people: docs/cli.md and docs/api.md.

`./invoke docs` calls `write`; a test tells when what stands in the checkout is not what would be
written.
"""

from ci.docs.reference import reference
from mqhost.paths import ROOT

PAGE = ROOT / "docs" / "cli.md"
API = ROOT / "docs" / "api.md"


def write() -> str:
    """Write the pages anew; return what to tell about it."""
    from ci.docs.api import api_page  # a web framework: half a second

    told = []
    for page, text in ((PAGE, reference()), (API, api_page(API.read_text(encoding="utf-8")))):
        same = page.is_file() and page.read_text(encoding="utf-8") == text
        if not same:
            page.write_text(text, encoding="utf-8")
        told.append(f"{page.relative_to(ROOT)} is {'up to date' if same else 'written anew'}.")
    return "\n".join(told)
