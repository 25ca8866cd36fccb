"""Brings an application to a board, and stays until the board runs it or is back.

offer it → send the manifest → offer it → send the files that are missing → offer it → it is tried

Each step can be done again: interrupted anywhere, the same deployment goes on where it ended.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mqhost.deploy.application import Application
from mqhost.deploy.outcome import PATIENCE, POLL, facts_of, refused, wait_confirmed
from mqhost.errors import AbsentBoardError, BoardError, RefusedError, SilentBoardError
from mqhost.link.answer import json_object
from mqhost.link.session import Session
from mqhost.paths import config_dir
from mqhost.progress import Progress, silent
from mqhost.remote.board_files import BoardFiles
from mqhost.signing.keys import (
    CURRENT,
    SigningKey,
    find_signing_key,
    signing_key_of_environment,
)
from mqhost.update.preflight import REQUIRED
from mqwire import app, codes

SETTLE, COMPARE, SEND = "settle", "compare", "put"  # the stages; the last one is BoardFiles'
_MOST_AGAIN = 4


@dataclass(frozen=True)
class Deployed:
    """What a board runs now and what it ran before, how many files and bytes were sent, and how
    many seconds it took; `changed`: whether there was anything to do.
    """

    id: str
    name: str
    version: str
    before: dict[str, Any]
    changed: bool
    files: int
    sent: int
    seconds: float


@dataclass
class _Sent:
    files: int = 0
    size: int = 0
    names: list[str] = field(default_factory=list)


def key_for(session: Session) -> SigningKey | None:
    """Return the key that the board takes applications of, None if it wants none.

    RefusedError when it is another than the one at hand; UsageError when there is none at hand.
    """
    info = session.request_json("info")
    session.hold_to(info.get("id"))
    if info.get("signing") != REQUIRED:
        return None
    key = find_signing_key()
    trusted = info.get("keys")
    if isinstance(trusted, list) and key.public.id not in trusted:
        names = ", ".join(f"{name!s:.16}" for name in trusted)
        error = RefusedError(
            f"{session.prefix} takes only what is signed with {names}; the key at hand is "
            f"{key.public.id} ({key.where}). Nothing was sent. MQBOARD_SIGNING_KEY names another."
        )
        error.code = codes.UNKNOWN_KEY
        raise error
    return key


def key_at_hand() -> SigningKey | None:
    """Return the key that is signed with here, None if there is none. UsageError for a bad one."""
    if signing_key_of_environment() is None and not (config_dir() / CURRENT).exists():
        return None
    return find_signing_key()


def missing_files(session: Session, application: Application) -> list[str]:
    """Return the paths of the files that would be sent. The board gets the manifest for that, and
    forgets it again.
    """
    body = application.body(dry_run=True)
    told = _offer(session, body)
    if "manifest" in told:
        _send_manifest(session, application)
        told = _offer(session, body)
    if "refused" in told:
        raise refused(session.prefix, told)
    return _paths(application, told)


def deploy(
    session: Session,
    application: Application,
    *,
    retry_failed: bool = False,
    progress: Progress = silent,
) -> Deployed:
    """Have the board of `session` run `application`; return when it is confirmed.

    `progress` is told the stages SETTLE, COMPARE, SEND (with bytes), and those of the outcome.
    Raises RefusedError with what the board says against it; WentBack when it tried it and is back;
    SilentBoardError when it does not show in time.
    """
    start = time.monotonic()
    before = facts_of(session.status() or {})
    sent = _Sent()
    switched = _bring(session, application, retry_failed, progress, sent)
    if switched is not None:
        wait_confirmed(
            session,
            application.id,
            application.label,
            switched,
            lambda stage: progress(stage, 0, 0),
        )
    return Deployed(
        application.id,
        application.name,
        application.version,
        {word: before[word] for word in ("id", "name", "version") if word in before},
        switched is not None,
        sent.files,
        sent.size,
        time.monotonic() - start,
    )


def _bring(
    session: Session,
    application: Application,
    retry_failed: bool,
    progress: Progress,
    sent: _Sent,
) -> dict[str, Any] | None:
    """Bring all files to the board until it switches; return what it says then, None if it runs the
    application already.
    """
    deadline = time.monotonic() + PATIENCE
    asked: set[str] = set()
    again = 0
    while True:
        progress(COMPARE, 0, 0)
        try:
            told = _offer(session, application.body(retry_failed=retry_failed))
        except AbsentBoardError:
            raise
        except SilentBoardError:
            if _switched(session, application):
                return {}
            if time.monotonic() > deadline:
                raise
            continue
        if told.get("code") in (codes.BUSY, codes.UNCONFIRMED) and time.monotonic() < deadline:
            if _switched(session, application):
                return {}
            progress(SETTLE, 0, 0)
            time.sleep(POLL)
            continue
        if "refused" in told:
            raise refused(session.prefix, told)
        if told.get("running") is True:
            return None
        if "window_s" in told:
            return told
        wanted = {""} if "manifest" in told else set(_paths(application, told))
        again += wanted <= asked
        asked |= wanted
        if again > _MOST_AGAIN:
            raise BoardError(
                f"{session.prefix} asks for the same files again and again. Restart it, and deploy "
                "again."
            )
        if "manifest" in told:
            _send_manifest(session, application)
        else:
            _send(session, application, told, progress, sent)
        deadline = time.monotonic() + PATIENCE


def _send_manifest(session: Session, application: Application) -> None:
    path = f"{app.FOLDER}/{application.id}.json"  # whatever the board says
    BoardFiles(session).write(path, application.manifest, parents=True)


def _send(
    session: Session,
    application: Application,
    told: dict[str, Any],
    progress: Progress,
    sent: _Sent,
) -> None:
    paths = _paths(application, told)
    folder = f"{app.FOLDER}/{application.id}"  # whatever it says
    files = [(f"{folder}/{path}", _reader(application.files[path])) for path in paths]
    total = sum(len(application.files[path]) for path in paths)
    BoardFiles(session).write_all(files, parents=True, total=total, progress=progress)
    sent.files += len(files)
    sent.size += total


def _reader(data: bytes) -> Callable[[], bytes]:
    return lambda: data


def _paths(application: Application, told: dict[str, Any]) -> list[str]:
    """Return the paths of the files that the board misses."""
    names = list(application.files)
    numbers = told.get("missing")
    if not isinstance(numbers, list) or not all(
        isinstance(number, int) and 0 <= number < len(names) for number in numbers
    ):
        raise BoardError(f"The board's answer to deploy makes no sense: {told!r:.100}")
    return [names[number] for number in numbers]


def _offer(session: Session, body: bytes) -> dict[str, Any]:
    """Send the offer and return what the board says in the end."""
    return json_object("deploy", b"".join(session.stream("deploy", body)))


def _switched(session: Session, application: Application) -> bool:
    """Return whether the board has switched already, and the answer was lost in the restart."""
    facts = facts_of(session.last_status or {})
    return facts.get("id") == application.id and facts.get("state") == app.TRIAL
