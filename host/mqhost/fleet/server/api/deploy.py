"""Brings an application to boards, one job for each."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.datastructures import UploadFile
from starlette.responses import JSONResponse

from mqhost.deploy.application import Application
from mqhost.deploy.package import LARGEST, unpack
from mqhost.errors import RefusedError, UsageError
from mqhost.fleet.server.api.common import TheFleet, quick
from mqhost.fleet.server.door.auth import Updating
from mqhost.fleet.server.door.users import User
from mqhost.fleet.server.fleet import Fleet
from mqhost.fleet.server.working import work
from mqhost.link.roster import offline_text

router = APIRouter(tags=["applications"])
_LONGEST = 2000  # characters of a condition
_BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "required": ["package"],
                "properties": {
                    "package": {
                        "type": "string",
                        "format": "binary",
                        "description": "What `mqboard deploy DIR --pack FILE` has written.",
                    }
                },
            }
        }
    },
}


@router.post("/api/deploy", max_body_size=LARGEST, openapi_extra={"requestBody": _BODY})
async def deploy(
    request: Request,
    fleet: TheFleet,
    user: Updating,
    pattern: Annotated[
        str | None, Query(max_length=_LONGEST, description="A prefix, or a pattern as `farm/+`.")
    ] = None,
    where: Annotated[
        str | None, Query(max_length=_LONGEST, description="A condition, as `version<0.5`.")
    ] = None,
    group: Annotated[
        str | None, Query(max_length=_LONGEST, description="A group of mqboard.toml.")
    ] = None,
    retry_failed: Annotated[
        bool, Query(description="Also where a board tried it and went back from it.")
    ] = False,
) -> Any:
    """Bring an application to the boards that are chosen, each by a job that ends when the board
    runs it, confirmed, or is back with the one before. `left` are the boards without one, and why:
    the same request again is for those, and takes no time where the application runs already."""
    if pattern is None and where is None and group is None:
        raise UsageError("Which boards? Give a prefix, a pattern, # for all, a group, a condition.")
    # The form is read here, once it is known who asks: it may be large.
    async with request.form(max_files=1, max_fields=1) as form:
        package = form.get("package")
        data = await package.read() if isinstance(package, UploadFile) else b""
    application = await quick(unpack, data)
    return await quick(_begin, fleet, user, application, pattern, where, group, retry_failed)


def _begin(
    fleet: Fleet,
    user: User,
    application: Application,
    pattern: str | None,
    where: str | None,
    group: str | None,
    retry_failed: bool,
) -> JSONResponse:
    jobs, left = [], {}
    boards = fleet.live.chosen(where, fleet.patterns(pattern, group))
    if not boards:
        raise UsageError("No board that is known here is chosen by that: nothing was sent.")
    task = work.deploying(application, retry_failed)
    for board in boards:
        if not board.online:
            left[board.prefix] = f"It is {offline_text(board.status)}."
            continue
        try:
            job = fleet.jobs.begin(f"deploy {application.label}", board.prefix, user, task)
        except RefusedError as error:
            left[board.prefix] = str(error)
        else:
            jobs.append(job.record(user))
    told = {"application": application.label, "id": application.id}
    return JSONResponse(told | {"jobs": jobs, "left": left}, 202 if jobs else 409)
