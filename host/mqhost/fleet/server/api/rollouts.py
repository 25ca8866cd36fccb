"""Starts rollouts, shows them, and changes them."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from mqhost.errors import UsageError
from mqhost.fleet.rollout import control
from mqhost.fleet.rollout.options import Options, Share
from mqhost.fleet.rollout.overview import Overview
from mqhost.fleet.rollout.plan import make_plan
from mqhost.fleet.rollout.states import Rollout
from mqhost.fleet.server.api.common import RolloutNumber, TheFleet, quick
from mqhost.fleet.server.door.auth import Looking, Updating
from mqhost.fleet.server.door.users import User
from mqhost.fleet.server.fleet import Fleet

router = APIRouter(prefix="/api/rollouts", tags=["rollouts"])
_MOST = 1000  # rollouts that are listed
_Image = Annotated[str, Field(min_length=8, max_length=64, pattern="^[0-9a-f]+$")]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class RolloutOptions(_Body):
    """The options of a rollout, written as on the command line: see docs/rollout.md."""

    canary: str = Field(default="5%", max_length=20)
    wave: str = Field(default="10,50%,100%", max_length=200)
    max_failed: str = Field(default="2%", max_length=20)
    parallel: str = Field(default="8", max_length=20)
    window: str = Field(default="", max_length=20)
    wait: str = Field(default="7d", max_length=20)
    settle: str = Field(default="5m", max_length=20)


class NewRollout(_Body):
    """Which images go to which boards. With `plan` it is only said what would happen."""

    images: list[_Image] = Field(min_length=1, max_length=100, description="SHA-256 of each.")
    pattern: str | None = Field(default=None, max_length=2000)
    where: str | None = Field(default=None, max_length=2000)
    group: str | None = Field(default=None, max_length=200)
    options: RolloutOptions = RolloutOptions()
    plan: bool = False


class Resume(_Body):
    """How many may fail from now on, as 5 or 2%; for `resume` only."""

    max_failed: str | None = Field(default=None, max_length=20)


@router.get("")
def list_rollouts(
    fleet: TheFleet, user: Looking, limit: Annotated[int, Query(ge=1, le=_MOST)] = 100
) -> Any:
    """List the rollouts of the broker's boards, the last one first."""
    counts = fleet.store.counts()
    found = fleet.store.rollouts(fleet.broker)[:limit]
    return JSONResponse([_record(fleet, one, counts.get(one.id, {})) for one in found])


@router.post("")
async def start_rollout(fleet: TheFleet, user: Updating, body: NewRollout) -> Any:
    """Start a rollout to the boards that are chosen; or, with `plan`, say what it would do."""
    if body.pattern is None and body.where is None and body.group is None:
        raise UsageError("Which boards? Give a pattern, # for all, a group, or a condition.")
    return await quick(_start, fleet, user, body)


@router.get("/{number}")
def show_rollout(fleet: TheFleet, user: Looking, number: RolloutNumber) -> Any:
    """Show a rollout: its waves, its boards, who drives it, and how far those are that are sent
    to."""
    rollout, boards = _need(fleet, number)
    record = Overview.of(rollout, boards).record()
    for board in record["boards"]:
        board["progress"] = None
    under_way = fleet.driving.progress(number)
    for board in record["boards"]:
        if found := under_way.get(board["prefix"]):
            board["progress"] = dict(zip(("stage", "done", "total"), found, strict=True))
    more = {"driver": fleet.store.driver(number), "trouble": fleet.driving.trouble(number)}
    return JSONResponse(record | more)


@router.post("/{number}/{wish}")
def change_rollout(
    fleet: TheFleet,
    user: Updating,
    number: RolloutNumber,
    wish: Literal["pause", "resume", "abort", "retry"],
    body: Resume | None = None,
) -> Any:
    """Pause a rollout, go on with it, abort it for good, or have failed boards try again."""
    _need(fleet, number)
    given = body.max_failed if body else None
    if wish == "resume":
        share = Share.parse(given, "max_failed") if given else None
        control.resume(fleet.store, number, user.name, share)
    else:
        change = {"pause": control.pause, "abort": control.abort, "retry": control.retry_failed}
        change[wish](fleet.store, number, user.name)
    fleet.driving.wake(number)
    rollout = fleet.store.rollout(number)
    return JSONResponse(_record(fleet, rollout, fleet.store.counts().get(number, {})))


def _start(fleet: Fleet, user: User, body: NewRollout) -> JSONResponse:
    options = Options.parse(**body.options.model_dump())
    images = [fleet.image(start) for start in dict.fromkeys(body.images)]
    boards = fleet.live.chosen(body.where, fleet.patterns(body.pattern, body.group))
    plan = make_plan(boards, [offer for offer, _ in images], options)
    if body.plan:
        waves = [[board.prefix for board in wave] for wave in plan.waves]
        skipped = {board.prefix: board.reason for board in plan.skipped}
        return JSONResponse({"waves": waves, "skipped": skipped})
    number = control.start(fleet.store, plan, images, options, broker=fleet.broker, who=user.name)
    fleet.driving.wake(number)
    return JSONResponse({"id": number}, 201)


def _need(fleet: Fleet, number: int) -> Any:
    try:
        return fleet.store.read(number)
    except UsageError as error:
        raise HTTPException(404, str(error)) from error


def _record(fleet: Fleet, rollout: Rollout, counts: dict[str, int]) -> dict[str, Any]:
    names = ("id", "state", "reason", "broker", "created_at", "created_by", "wave")
    record = {name: getattr(rollout, name) for name in names}
    total = sum(counts.values())
    return record | {"options": rollout.options.record(), "counts": counts, "total": total}
