"""Shows the jobs of this server, and cancels them."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from mqhost.fleet.server.api.common import TheFleet
from mqhost.fleet.server.door.auth import Forbidden, Looking, Operating
from mqhost.fleet.server.door.users import UPDATE
from mqhost.fleet.server.working.jobs import code_word, is_code

_UPDATING = ("update ", "deploy ")  # what only those may cancel who may update
router = APIRouter(prefix="/api/jobs", tags=["jobs"])


@router.get("")
def list_jobs(
    fleet: TheFleet,
    user: Looking,
    prefix: Annotated[str | None, Query(description="Only those of that board.")] = None,
) -> Any:
    """List the jobs, the last one first."""
    return JSONResponse([job.record(user) for job in fleet.jobs.all(prefix)])


@router.get("/{ident}")
def show_job(fleet: TheFleet, user: Looking, ident: str) -> Any:
    """Show how far a job is, or what it came to."""
    if job := fleet.jobs.get(ident):
        return JSONResponse(job.record(user))
    raise HTTPException(404, "There is no such job, or not any more.")


@router.delete("/{ident}")
def cancel_job(fleet: TheFleet, user: Operating, ident: str) -> Any:
    """Cancel a job: it ends soon, and what the board is in the middle of, it ends by itself."""
    job = fleet.jobs.get(ident)
    if job is None:
        raise HTTPException(404, "There is no such job, or not any more.")
    if job.what.startswith(_UPDATING) and not user.may(UPDATE):
        raise Forbidden(f"That takes the role {UPDATE}; {user.name} has {user.role}.")
    fleet.note(
        user, f"cancel {code_word(job.what) if is_code(job.what) else job.what}", job.prefix, job.id
    )
    return JSONResponse(fleet.jobs.cancel(ident).record(user), 202)
