"""Reads an application from its folder: which files it has, how it is called, what it runs.

    app.toml, the files beside it  →  Source

Nothing outside of the folder is read, wherever links in it lead.
"""

import fnmatch
import json
import os
import tomllib
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mqhost.errors import UsageError
from mqwire import WireError, app

SPEC = "app.toml"
_KEYS = {"name": str, "version": str, "ignore": list, "modules": dict}
_MOST = 32 * 1024 * 1024  # bytes of all files; the largest flash has as many
# What is never an application's: what begins with a dot, what tools leave, and its tests.
_IGNORED = (".*", "__pycache__", "*.pyc", "*~", SPEC, "mqboard.toml", "tests")


@dataclass(frozen=True)
class Source:
    """An application as it lies in `folder`: `files` by their paths in it, sorted; `name`; the
    `version` that app.toml says, or ""; `modules`: settings by name.
    """

    folder: Path
    name: str
    version: str
    modules: dict[str, Any]
    files: dict[str, bytes]


def read_folder(folder: Path) -> Source:
    """Read the application in `folder`; UsageError if it is none, or has what no board takes."""
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder. Name the one that your application is in.")
    spec = read_spec(folder)
    root = folder.resolve()
    files = read_files(folder, spec)
    name = spec.get("name") or _as_word(root.name)
    for word, value in (("name", name), ("version", spec.get("version"))):
        if value is not None:
            _check_word(word, value, folder)
    modules = _modules(folder, spec, files)
    try:
        json.dumps(modules)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{folder / SPEC}: modules has what JSON has not: {error}.") from error
    return Source(root, name, spec.get("version", ""), modules, files)


def read_files(folder: Path, spec: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the files in `folder` by their paths in it, sorted, but for those that app.toml, which
    says `spec`, and everybody ignores; UsageError if there are none, or no board takes one."""
    root = folder.resolve()
    try:
        paths = sorted(_walk(root, root, (*_IGNORED, *spec.get("ignore", []))))
    except OSError as error:  # a folder in it that is closed to us, or gone meanwhile
        raise UsageError(f"{error.filename} cannot be read: {error.strerror}.") from error
    if not paths:
        raise UsageError(f"{folder} has no files for a board in it.")
    files: dict[str, bytes] = {}
    room = _MOST
    for path in paths:
        try:
            app.check_path(path)
            with (root / path).open("rb") as file:
                files[path] = file.read(room + 1)
            room -= len(files[path])
            if room < 0:
                raise UsageError(
                    f"With {path} the files in {folder} have more than {_MOST:,} B, for which no "
                    f"board has room. Ignore what is not for boards in {folder / SPEC}."
                )
        except WireError as error:
            raise UsageError(f"{path!r} in {folder} cannot go to a board: {error}.") from error
        except OSError as error:
            raise UsageError(f"{folder / path} cannot be read: {error.strerror}.") from error
    return files


def _modules(folder: Path, spec: dict[str, Any], files: Container[str]) -> dict[str, Any]:
    """Return the settings of the modules that start; UsageError where nobody would know which."""
    modules = spec.get("modules")
    if modules is None:
        if app.SCRIPT not in files:
            raise UsageError(
                f"Nothing of {folder} would start: it has no {app.SCRIPT}, and no {SPEC} that "
                "names modules. Name them there, as [modules.pump] for pump.py; an empty "
                "[modules] leaves it to the board's configuration."
            )
        return {"main": {}}
    for name in modules:
        try:
            app.check_module(name)
        except WireError as error:
            raise UsageError(f"{folder / SPEC}: {name!r:.60} in modules: {error}.") from error
    return dict(modules)


def _walk(root: Path, folder: Path, ignored: tuple[str, ...]) -> Iterator[str]:
    """Yield the paths, in `root`, of the files in `folder` and below."""
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda each: each.name):
            path = Path(entry.path).relative_to(root).as_posix()
            if _matches(entry.name, ignored) or _matches(path, ignored):
                continue
            if entry.is_symlink():
                _check_link(root, Path(entry.path), path)
            if entry.is_dir():
                yield from _walk(root, Path(entry.path), ignored)
            elif entry.is_file():
                yield path
            else:
                raise UsageError(f"{entry.path} is neither a file nor a folder.")


def _matches(name: str, shapes: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(name, shape) for shape in shapes)


def _check_link(root: Path, link: Path, path: str) -> None:
    """Raise UsageError unless a link leads to a file in the folder `root`."""
    target = link.resolve()
    if not target.is_relative_to(root):
        raise UsageError(
            f"{path} is a link out of the folder, to {target}; nothing outside of {root} is read. "
            f"Put a copy in its place, or ignore it in {SPEC}."
        )
    if not target.is_file():
        what = "a folder" if target.is_dir() else "nothing"
        raise UsageError(f"{path} is a link to {what}. Put what is meant in its place.")


def read_spec(folder: Path) -> dict[str, Any]:
    """Return what app.toml in `folder` says, {} if there is none; UsageError for what is not
    known."""
    path = folder / SPEC
    try:
        spec = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}.") from error
    for key, value in spec.items():
        if key not in _KEYS:
            raise UsageError(f"{path}: {key} is not known. Known are {', '.join(_KEYS)}.")
        if not isinstance(value, _KEYS[key]):
            raise UsageError(f"{path}: {key} is {value!r:.60}, not a {_KEYS[key].__name__}.")
    if not all(isinstance(shape, str) for shape in spec.get("ignore", [])):
        raise UsageError(f'{path}: ignore must be a list of names, as ["*.md", "drafts"].')
    return spec


def _check_word(word: str, value: str, folder: Path) -> None:
    try:
        app.check_word(value)
    except WireError as error:
        raise UsageError(
            f"The {word} of the application in {folder} cannot be {value!r:.60}: {error}. "
            f"Give another one in {SPEC}."
        ) from error


def _as_word(name: str) -> str:
    """Return a folder's name as an application's, as near as can be."""
    text = "".join(letter if _is_word(letter) else "-" for letter in name)
    return text[: app.MAX_WORD].strip("-") or "app"


def _is_word(letter: str) -> bool:
    try:
        app.check_word(letter)
    except WireError:
        return False
    return True
