"""Tells what happens as server-sent events: boards, jobs, rollouts, and the broker."""

import json
import time
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

from mqhost.fleet.server.api.common import KnownBoard, TheFleet, quick
from mqhost.fleet.server.changes import BOARD, BROKER, JOB, ROLLOUT, Key
from mqhost.fleet.server.door.auth import Forbidden, LoginNeeded, Looking, current
from mqhost.fleet.server.door.users import User
from mqhost.fleet.server.fleet import Fleet
from mqhost.fleet.server.hearing.loglines import Following

router = APIRouter(tags=["events"])
_LOOK = 5.0  # seconds until it is looked again whether somebody may still listen
_LOG_LOOK = 1.0
_PAUSE = 0.5


@router.get("/api/events", response_class=EventSourceResponse)
async def events(
    request: Request, fleet: TheFleet, user: Looking
) -> AsyncIterator[ServerSentEvent]:
    """Tell what changes: `boards` (those that said something, and `gone`), `job`, `rollout` (its
    number) and `broker`, as they come, gathered for half a second.
    """
    with fleet.changes.listening() as listener:
        yield event("broker", {"connected": fleet.live.connected})
        while await still_in(request):
            for name, data in _told(fleet, user, await listener.next(_PAUSE, _LOOK)):
                yield event(name, data)


@router.get("/api/board/log", response_class=EventSourceResponse)
async def log(
    request: Request, fleet: TheFleet, user: Looking, board: KnownBoard
) -> AsyncIterator[ServerSentEvent]:
    """Tell the last lines of a board's log that the server has heard, then those that come, as
    events `log` with `lines`.
    """
    with Following(fleet.connection, board.prefix) as following:
        yield event("log", {"lines": await quick(fleet.last_lines, board.prefix)})
        while await still_in(request):
            if lines := await following.next(_LOG_LOOK):
                yield event("log", {"lines": lines})


def event(name: str, data: Any) -> ServerSentEvent:
    """Make an event of JSON."""
    return ServerSentEvent(event=name, raw_data=json.dumps(data, separators=(",", ":")))


async def still_in(request: Request) -> bool:
    """Return whether who listens is still let in: users are removed, and sessions end. It is looked
    again every few seconds only.
    """
    if request.app.state.fleet.ending:
        return False
    now = time.monotonic()
    if now < getattr(request.state, "known_until", 0.0):
        return True
    request.state.known_until = now + _LOOK
    try:
        await quick(current, request)
    except (LoginNeeded, Forbidden):
        return False
    return True


def _told(fleet: Fleet, user: User, keys: set[Key]) -> list[tuple[str, Any]]:
    """Return what is told of changes."""
    told: list[tuple[str, Any]] = []
    prefixes = sorted(name for kind, name in keys if kind == BOARD)
    if prefixes:
        known = [(prefix, fleet.live.get(prefix)) for prefix in prefixes]
        boards = [fleet.live.record(board) for _, board in known if board]
        told.append(("boards", {"boards": boards, "gone": [p for p, board in known if not board]}))
    for kind, name in sorted(keys):
        if kind == JOB and (job := fleet.jobs.get(name)):
            told.append(("job", job.record(user)))
        elif kind == ROLLOUT:
            told.append(("rollout", {"id": int(name)}))
        elif kind == BROKER:
            told.append(("broker", {"connected": fleet.live.connected}))
    return told
