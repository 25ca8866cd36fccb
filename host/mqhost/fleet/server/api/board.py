"""Shows one board, asks it, and changes it. What takes time is a job: see jobs.py."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse

from mqhost.errors import UsageError
from mqhost.fleet.server.api.common import (
    LARGEST_NUMBER,
    Prefix,
    TheFleet,
    begin,
    quick,
    told,
    waiting,
)
from mqhost.fleet.server.door.auth import Looking, Operating, Updating
from mqhost.fleet.server.working import work
from mqhost.link.boardconfig import unknown
from mqhost.manage.configuration import flatten
from mqwire import MAX_BODY

router = APIRouter(tags=["one board"])


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Code(_Body):
    """Code to run: what it prints comes back, and the value of a last expression."""

    code: str = Field(max_length=MAX_BODY)
    timeout: float = Field(default=60, gt=0, le=3600, description="Seconds.")
    wait: bool = Field(default=True, description="Answer when it has ended, and not at once.")


class Reset(_Body):
    """How to restart: as it is, in `normal` mode, or in `safe` mode."""

    mode: Literal["", "normal", "safe"] = ""


class Config(_Body):
    """Keys to set, or a configuration to lay over the board's: one of them."""

    set: dict[str, Any] | None = None
    push: dict[str, Any] | None = None


class Update(_Body):
    """The image to bring to the board, by its SHA-256 (or how that begins)."""

    image: str = Field(min_length=8, max_length=64, pattern="^[0-9a-f]+$")
    retry_failed: bool = False


@router.get("/api/board")
def show(fleet: TheFleet, user: Looking, prefix: Prefix) -> Any:
    """Show what is known of a board, without asking it."""
    return JSONResponse(fleet.live.record(fleet.asking.need(prefix), whole=True))


@router.get("/api/board/info")
async def info(request: Request, fleet: TheFleet, user: Looking, prefix: Prefix) -> Any:
    """Ask a board for its facts: version, slots, memory, uptime."""
    return JSONResponse(await waiting(request, fleet.asking.info, prefix))


@router.get("/api/board/config")
async def config(request: Request, fleet: TheFleet, user: Looking, prefix: Prefix) -> Any:
    """Ask a board for its configuration; secrets are shown as `<secret KEY>`."""
    return JSONResponse(await waiting(request, fleet.asking.config, prefix))


@router.get("/api/board/crashes")
async def crashes(
    request: Request,
    fleet: TheFleet,
    user: Looking,
    prefix: Prefix,
    number: Annotated[
        int | None, Query(ge=0, le=LARGEST_NUMBER, description="The whole record of that one.")
    ] = None,
    kept: Annotated[
        bool, Query(description="Those that the server has heard of, without asking the board.")
    ] = False,
) -> Any:
    """Ask a board for its boots that ended badly, the oldest first."""
    if kept:
        fleet.asking.need(prefix)
        return JSONResponse(await quick(fleet.kept_crashes, prefix))
    return JSONResponse(await waiting(request, fleet.asking.crashes, prefix, number))


@router.post("/api/board/eval")
async def evaluate(
    request: Request, fleet: TheFleet, user: Operating, prefix: Prefix, body: Code
) -> Any:
    """Run code on a board. Whoever may do that owns the board."""
    what = f"eval {body.code.strip():.500}"
    job = await begin(fleet, user, prefix, what, work.evaluating(body.code, body.timeout))
    if body.wait:
        await waiting(request, job.over.wait, body.timeout + 150)
    return told(job, user)


@router.post("/api/board/reset")
async def reset(fleet: TheFleet, user: Operating, prefix: Prefix, body: Reset) -> Any:
    """Restart a board, as a job that ends when it is back."""
    what = work.MODES[body.mode]
    return told(await begin(fleet, user, prefix, what, work.restarting(body.mode)), user)


@router.post("/api/board/crashes/clear")
async def clear(fleet: TheFleet, user: Operating, prefix: Prefix) -> Any:
    """Have a board forget its crashes, as a job."""
    return told(await begin(fleet, user, prefix, "clear crashes", work.clearing()), user)


@router.post("/api/board/config")
async def configure(fleet: TheFleet, user: Operating, prefix: Prefix, body: Config) -> Any:
    """Change a board's configuration, as a job: it runs with it, or is back with the old one."""
    if (body.set is None) == (body.push is None):
        raise UsageError("Give either the keys to set, or a configuration to push.")
    if body.set is not None:
        work.check_wish(body.set)
        keys, task = list(body.set), work.setting(body.set)
    else:
        assert body.push is not None
        keys, task = list(flatten(body.push)), work.laying(body.push)
    job = await begin(fleet, user, prefix, f"config {', '.join(keys):.500}", task)
    return told(job, user, {"notes": unknown(body.push or {})})


@router.post("/api/board/update")
async def update(fleet: TheFleet, user: Updating, prefix: Prefix, body: Update) -> Any:
    """Bring a stored image to a board, as a job that ends when it is confirmed, or has failed."""
    offer, app = await quick(fleet.image, body.image)
    task = work.updating(offer, app, body.retry_failed)
    what = f"update to {offer.version:.100}"
    return told(await begin(fleet, user, prefix, what, task), user)
