"""Builds wheel and sdist with setuptools, and adds what that leaves out: a PEP 517 backend.

pyproject.toml names it. Into both go what the page is made with, what firmware is made of, and the
version with the commit that git tells (revision.json), so that a wheel made from an sdist is the
same one. A checkout that is installed as editable needs none of that: it has it, and what the page
is made with is fetched by what needs it first.
"""

import os
import re
import shutil
from functools import cache
from pathlib import Path
from typing import Any

from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403  (the other hooks are setuptools' own)
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

from mqhost.build.revision import STAMP, Revision, project_version, read_revision
from mqhost.errors import UsageError
from mqhost.fleet.page import vendored
from mqhost.paths import BOARDS, DOCKER, FROZEN, MANIFEST, ROOT

FOLDERS = (BOARDS, DOCKER, FROZEN, MANIFEST)
INSIDE = Path("mqhost") / "firmware"
_IGNORED = shutil.ignore_patterns("__pycache__", "*.py[cod]")
# What PEP 440 takes, of what our tags and commits give.
_VERSION = re.compile(r"\d+(\.\d+)*(-?(a|b|rc)\.?\d+)?(\+[A-Za-z0-9]+(\.[A-Za-z0-9]+)*)?")


def version() -> str:
    """Return the version of wheel and sdist: the firmware's, in the spelling of Python packages."""
    found = revision().version
    if found.endswith(".dirty") and "+" not in found:
        found = found.replace(".dirty", "+dirty")
    if _VERSION.fullmatch(found):
        return found
    return f"{project_version(ROOT)}+{'.'.join(re.findall('[A-Za-z0-9]+', found))}"


@cache  # as it was before there were files of a build
def revision() -> Revision:
    """Return the revision of this tree, even one that boards would not take."""
    try:
        return read_revision()
    except UsageError:
        return Revision(project_version(ROOT), "unknown", 0)


def get_requires_for_build_wheel(config_settings: Any = None) -> list[str]:
    """Return what setuptools wants, and npm where the files are nowhere on this machine."""
    return [*build_meta.get_requires_for_build_wheel(config_settings), *vendored.needs_npm()]


def get_requires_for_build_sdist(config_settings: Any = None) -> list[str]:
    """Return what setuptools wants, and npm where the files are nowhere on this machine."""
    return [*build_meta.get_requires_for_build_sdist(config_settings), *vendored.needs_npm()]


def build_wheel(
    wheel_directory: Any, config_settings: Any = None, metadata_directory: Any = None
) -> str:
    """Build the wheel, with the files in it."""
    vendored.ensure()
    _set_clock()
    shutil.rmtree(ROOT / "build" / "lib", ignore_errors=True)  # of an earlier build, with its files
    return build_meta.build_wheel(wheel_directory, config_settings, metadata_directory)


def build_sdist(sdist_directory: Any, config_settings: Any = None) -> str:
    """Build the sdist, with the files in it."""
    vendored.ensure()
    _set_clock()
    return build_meta.build_sdist(sdist_directory, config_settings)


class BuildPy(build_py):
    """Puts what firmware is made of into the package, laid out as in a checkout."""

    def run(self) -> None:
        """Build, and add it."""
        super().run()
        if self.editable_mode:
            return
        inside = Path(self.build_lib) / INSIDE
        shutil.rmtree(inside, ignore_errors=True)  # what an earlier build left
        for folder in FOLDERS:
            shutil.copytree(folder, inside / folder.name, ignore=_IGNORED)
        (inside / STAMP).write_bytes(revision().to_bytes())


class Sdist(sdist):
    """Puts the revision into the archive, beside pyproject.toml."""

    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        """Lay out what is packed, and add it."""
        super().make_release_tree(base_dir, files)
        stamp = Path(base_dir) / STAMP
        stamp.unlink(missing_ok=True)  # it may be a link to the tree's own
        stamp.write_bytes(revision().to_bytes())


def _set_clock() -> None:
    """Date the files that are packed to the commit: the same commit gives the same wheel."""
    os.environ.setdefault("SOURCE_DATE_EPOCH", str(max(revision().time, 315532800)))  # from 1980 on
