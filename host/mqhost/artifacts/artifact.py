"""Downloads firmware that CI built, checks it and keeps it: what `invoke artifact` does.

    run or release → its bundle of the board → download → check → image store and build/<board>/

`fetch` finds the bundle through GitHub's API, checks it (bundle.py), keeps its app image in the
local image store and unpacks it where a build would have put it, so that `ota` and `flash` take it
from there. Only runs of the repository's own code are trusted, never a fork's pull request.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mqhost.artifacts import bundle, github_access
from mqhost.artifacts.github import BYTES, JSON, GitHub, GitHubError, Gone, NotFound
from mqhost.errors import ToolError, UsageError
from mqhost.locks import locked
from mqhost.paths import BUILD, TASK, cache_dir
from mqhost.progress import Progress, silent
from mqhost.signing import sign as signing
from mqhost.signing.offer import Offer
from mqhost.update.store import ImageStore

WORKFLOW = "firmware.yml"
LATEST = "latest"
_BOARD = re.compile(r"[a-z0-9][a-z0-9_-]*")
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_-]*")
_PAGE = 100
_MOST_PAGES = 10


@dataclass(frozen=True)
class Fetched:
    """What was downloaded: `origin` says from where, for people; `folder` has the files."""

    offer: Offer
    origin: str
    folder: Path


@dataclass(frozen=True)
class _Source:
    """A run or a release, and the bundles that it has."""

    origin: str  # for people
    items: list[dict[str, Any]]  # artifacts or assets, as the API describes them
    path: str  # where one is downloaded, with {id}
    accept: str
    size_key: str
    about: str = ""  # what to say when the board is not among them

    def newest(self, board: str) -> dict[str, Any]:
        """Return the bundle of `board`; GitHubError if there is none, or it is gone."""
        named = [(bundle.board_of(str(item.get("name"))), item) for item in self.items]
        mine = [item for name, item in named if name == board and type(item.get("id")) is int]
        if not mine:
            others = ", ".join(sorted({name for name, _ in named if name})) or "none"
            raise GitHubError(
                f"There is no firmware for board {board!r} in {self.origin}{self.about}. "
                f"Boards there: {others}."
            )
        kept = [item for item in mine if not item.get("expired")]
        if not kept:
            raise Gone(_expired(board, self.origin))
        return max(kept, key=lambda item: item["id"])


def fetch(
    board: str,
    run: str = LATEST,
    repository: str | None = None,
    output: Path | None = None,
    *,
    check_signature: bundle.SignatureCheck = signing.check_signature,
    progress: Progress = silent,
) -> Fetched:
    """Download the firmware of `board` from a run (its ID, or "latest") or a release (its tag).

    `repository` is OWNER/NAME, by default that of the git remote; `output` the folder that gets the
    files, by default build/<board>. Raises ToolError; then nothing was kept but a download to go
    on with.
    """
    if not _BOARD.fullmatch(board):
        raise UsageError(f"{board!r} is no board's name. mqboard boards --definitions lists them.")
    repository = github_access.find_repository(repository)
    token = github_access.find_token()
    folder = output or BUILD / board
    with GitHub(github_access.find_api(), token) as github:
        progress(f"asking GitHub for {repository}", 0, 0)
        source = _find(github, repository, run, bool(token))
        try:
            found = _download(github, source, board, check_signature, progress)
            ImageStore().put(found.app, found.offer, found.signature)
            found.unpack(folder)
        except OSError as error:
            where = error.filename or cache_dir()
            raise ToolError(f"Cannot write {where}: {error.strerror or error}.") from error
    return Fetched(found.offer, source.origin, folder)


def _find(github: GitHub, repository: str, run: str, has_token: bool) -> _Source:
    """Return the run or release that is meant."""
    of_run = run == LATEST or run.isdecimal()
    if of_run and not has_token:
        raise UsageError(
            "GitHub gives the artifacts of a run, also of a public repository, only to those who "
            f"are signed in. {github_access.HOW_TO_GET_A_TOKEN}"
        )
    if not of_run and not _TAG.fullmatch(run):
        raise UsageError(f"{run!r} is neither latest, nor a run's number, nor a release's tag.")
    try:
        if not of_run:
            return _release(github, repository, run)
        about = _latest(github, repository) if run == LATEST else _run(github, repository, run)
        return _artifacts(github, repository, about)
    except NotFound as error:
        thing = "release" if not of_run else "repository or workflow" if run == LATEST else "run"
        name = f"{WORKFLOW} on its default branch" if run == LATEST else run
        token = "this token may not see it" if has_token else "it is private: that needs a token"
        advice = "" if has_token else f" {github_access.HOW_TO_GET_A_TOKEN}"
        raise NotFound(
            f"{repository} has no such {thing}, {name}; or {token}. "
            f"See https://github.com/{repository}/actions.{advice}"
        ) from error


def _latest(github: GitHub, repository: str) -> dict[str, Any]:
    """Return the last good run on the default branch, whose code is the repository's own."""
    branch = str(github.get(f"/repos/{repository}").get("default_branch"))
    runs = github.get(
        f"/repos/{repository}/actions/workflows/{WORKFLOW}/runs",
        branch=branch,
        event="push",
        status="success",
        per_page=1,
    )
    for run in _objects(runs, "workflow_runs"):
        _check_own(run, repository)
        return run
    raise GitHubError(
        f"{repository} has no finished, successful run of {WORKFLOW} on {branch}. See "
        f"https://github.com/{repository}/actions, or name one: --run ID or a release's tag."
    )


def _run(github: GitHub, repository: str, number: str) -> dict[str, Any]:
    """Return the run of that number."""
    run = github.get(f"/repos/{repository}/actions/runs/{number}")
    _check_own(run, repository)
    return run


def _check_own(run: dict[str, Any], repository: str) -> None:
    """Raise UsageError for a run on somebody else's code: it can have built anything."""
    head = run.get("head_repository")
    name = str(head.get("full_name")) if isinstance(head, dict) else "a repository that is gone"
    if name.lower() != repository.lower():
        raise UsageError(
            f"Run {run.get('id')} built code of {name}, not of {repository}: its firmware could "
            f"contain anything. Read the change, then build it yourself ({TASK} build)."
        )


def _artifacts(github: GitHub, repository: str, run: dict[str, Any]) -> _Source:
    """Return the bundles of a run."""
    number, items = run.get("id"), []
    for page in range(1, _MOST_PAGES + 1):
        answer = github.get(
            f"/repos/{repository}/actions/runs/{number}/artifacts", per_page=_PAGE, page=page
        )
        new = _objects(answer, "artifacts")
        items += new
        if len(new) < _PAGE:
            break
    done = run.get("status") in (None, "completed")
    return _Source(
        origin=f"run {number} ({run.get('head_branch')}, {str(run.get('head_sha'))[:8]})",
        items=items,
        path=f"/repos/{repository}/actions/artifacts/{{id}}/zip",
        accept=JSON,
        size_key="size_in_bytes",
        about="" if done else f", which is not finished ({run.get('status')})",
    )


def _release(github: GitHub, repository: str, tag: str) -> _Source:
    """Return a release and the bundles attached to it."""
    release = github.get(f"/repos/{repository}/releases/tags/{tag}")
    return _Source(
        origin=f"release {tag}",
        items=_objects(release, "assets"),
        path=f"/repos/{repository}/releases/assets/{{id}}",
        accept=BYTES,
        size_key="size",
    )


def _download(
    github: GitHub,
    source: _Source,
    board: str,
    check_signature: bundle.SignatureCheck,
    progress: Progress,
) -> bundle.Bundle:
    """Download and check the bundle; its zip file is not kept."""
    item = source.newest(board)
    path, size = source.path.format(id=item["id"]), item.get(source.size_key)
    folder = cache_dir() / "downloads"
    with locked(folder / "lock", progress):
        # A name that another thing cannot have: what is left of it may be gone on with later.
        target = folder / (re.sub(r"[^\w.-]+", "-", path).strip("-") + ".zip")
        try:
            github.download(
                path,
                target,
                accept=source.accept,
                digest=str(item.get("digest") or ""),
                size=size if type(size) is int else 0,
                what=f"downloading {item['name']}",
                progress=progress,
            )
            progress("checking it", 0, 0)
            return bundle.read_bundle(target, board, check_signature)
        except Gone as error:
            raise Gone(_expired(board, source.origin)) from error
        finally:
            target.unlink(missing_ok=True)


def _expired(board: str, origin: str) -> str:
    return (
        f"The firmware for board {board!r} in {origin} is not kept any more: GitHub deletes "
        "artifacts after a while. Take a release (--run TAG), run the workflow again, or build it "
        f"({TASK} build)."
    )


def _objects(record: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """Return the list of objects under `key` of an answer; empty if it has none."""
    items = record.get(key)
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
