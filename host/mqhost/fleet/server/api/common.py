"""Holds what the paths have in common: the fleet, its jobs, and threads for what waits."""

from collections.abc import Callable
from typing import Annotated, Any, ParamSpec, TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import Depends, Query
from pydantic import Field
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse

from mqhost.fleet.presence import Presence
from mqhost.fleet.server.asking import AT_ONCE
from mqhost.fleet.server.door.users import User
from mqhost.fleet.server.fleet import Fleet
from mqhost.fleet.server.working.jobs import Job, Work
from mqwire import MAX_PREFIX

P = ParamSpec("P")
T = TypeVar("T")
_WAITING = 4 * AT_ONCE  # requests that wait for boards
LARGEST_NUMBER = 2**31 - 1  # of a rollout, or an entry, in the database
RolloutNumber = Annotated[int, Field(ge=1, le=LARGEST_NUMBER)]


def fleet_of(request: HTTPConnection) -> Fleet:
    """Return the fleet that is served."""
    fleet: Fleet = request.app.state.fleet
    return fleet


TheFleet = Annotated[Fleet, Depends(fleet_of)]
Prefix = Annotated[
    str, Query(description="The board's prefix.", min_length=1, max_length=MAX_PREFIX)
]


def known_board(fleet: TheFleet, prefix: Prefix) -> Presence:
    """Return the board that a request is about; NoBoard if nobody has announced himself there."""
    return fleet.asking.need(prefix)


KnownBoard = Annotated[Presence, Depends(known_board)]


async def waiting(request: HTTPConnection, call: Callable[P, T], *a: P.args, **k: P.kwargs) -> T:
    """Call what waits for a board, in a thread; others wait for their turn."""
    state = request.app.state
    if not hasattr(state, "boards_limiter"):
        state.boards_limiter = CapacityLimiter(_WAITING)
    return await to_thread.run_sync(lambda: call(*a, **k), limiter=state.boards_limiter)


async def quick(call: Callable[P, T], *a: P.args, **k: P.kwargs) -> T:
    """Call what needs the database or the processor for a moment, in a thread."""
    return await to_thread.run_sync(lambda: call(*a, **k))


async def begin(fleet: Fleet, user: User, prefix: str, what: str, task: Work) -> Job:
    """Begin a job for a board, which has to be online; `what` is the word for it in the audit."""
    fleet.asking.need(prefix, online=True)
    return await quick(fleet.jobs.begin, what, prefix, user, task)


def told(job: Job, user: User, more: dict[str, Any] | None = None) -> JSONResponse:
    """Answer with a job: 202, or 200 if it has ended already."""
    return JSONResponse(job.record(user) | (more or {}), 200 if job.over.is_set() else 202)
