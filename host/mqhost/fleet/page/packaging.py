"""Builds the wheel with setuptools, once what the page is made with is there: a PEP 517 backend.

pyproject.toml names it. A checkout that is installed as editable needs none of that yet; it is
fetched by what needs it first.
"""

from typing import Any

from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403  (the other hooks are setuptools' own)

from mqhost.fleet.page import vendored


def get_requires_for_build_wheel(config_settings: Any = None) -> list[str]:
    """Return what setuptools wants, and npm where the files are nowhere on this machine."""
    return [*build_meta.get_requires_for_build_wheel(config_settings), *vendored.needs_npm()]


def build_wheel(
    wheel_directory: Any, config_settings: Any = None, metadata_directory: Any = None
) -> str:
    """Build the wheel, with the files in it."""
    vendored.ensure()
    return build_meta.build_wheel(wheel_directory, config_settings, metadata_directory)
