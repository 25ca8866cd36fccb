"""Lists, reads and changes files of a board. What changes them is a job: see jobs.py."""

import hashlib
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse, Response

from mqhost.fleet.server.api.common import Prefix, TheFleet, begin, quick, told, waiting
from mqhost.fleet.server.asking import LARGEST_FILE
from mqhost.fleet.server.door.auth import Forbidden, Looking, Operating
from mqhost.fleet.server.door.users import OPERATE, User
from mqhost.fleet.server.fleet import Fleet
from mqhost.fleet.server.secretfiles import may_be_secret
from mqhost.fleet.server.working import filework

router = APIRouter(tags=["files"])
_LONGEST = 1000  # characters
Path = Annotated[str, Query(min_length=1, max_length=_LONGEST, description="A path on the board.")]
_Path = Annotated[str, Field(min_length=1, max_length=_LONGEST)]
_BODY = {
    "required": True,
    "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
}


class Folder(BaseModel):
    """A folder to make."""

    model_config = ConfigDict(extra="forbid")
    path: _Path


class Move(BaseModel):
    """What to move or rename: `path`, and where it is `to` be then."""

    model_config = ConfigDict(extra="forbid")
    path: _Path
    to: _Path
    replace: bool = Field(default=False, description="Also where a file is already.")


@router.get("/api/board/files")
async def files(
    request: Request, fleet: TheFleet, user: Looking, prefix: Prefix, path: Path = "/"
) -> Any:
    """List a folder of a board."""
    return JSONResponse(await waiting(request, fleet.asking.files, prefix, path))


@router.get("/api/board/file", response_class=Response)
async def file(
    request: Request, fleet: TheFleet, user: Looking, prefix: Prefix, path: Path
) -> Response:
    """Read a file of a board, up to 1 MiB; the ETag is its SHA-256. What may hold secrets (by its
    name, a word in it, or because it is no text) takes the role `operate`."""
    data = await read(request, fleet, user, prefix, path)
    headers = {"etag": f'"{hashlib.sha256(data).hexdigest()}"'}
    return Response(data, headers=headers, media_type="application/octet-stream")


@router.put("/api/board/file", max_body_size=LARGEST_FILE, openapi_extra={"requestBody": _BODY})
async def put(
    request: Request,
    fleet: TheFleet,
    user: Operating,
    prefix: Prefix,
    path: Path,
    was: Annotated[
        str | None,
        Query(
            pattern=f"^([0-9a-f]{{64}}|{filework.NOTHING})$",
            description="The SHA-256 of what is there, or `none`: if it is something else, nothing "
            "is written. Without it whatever is there is replaced.",
        ),
    ] = None,
) -> Any:
    """Write the body, up to 1 MiB, to a file of a board, as a job: the file is whole, or as it
    was."""
    data = await request.body()
    task = filework.putting(path, data, was)
    return told(await begin(fleet, user, prefix, f"put {path:.200}", task), user)


@router.delete("/api/board/file")
async def remove(
    fleet: TheFleet,
    user: Operating,
    prefix: Prefix,
    path: Path,
    recursive: Annotated[bool, Query(description="A folder, with all that is in it.")] = False,
) -> Any:
    """Remove a file or a folder of a board, as a job."""
    filework.check_goes(path)
    task = filework.removing(path, recursive)
    return told(await begin(fleet, user, prefix, f"remove {path:.200}", task), user)


@router.post("/api/board/folder")
async def make_folder(fleet: TheFleet, user: Operating, prefix: Prefix, body: Folder) -> Any:
    """Make a folder on a board, as a job."""
    task = filework.making(body.path)
    return told(await begin(fleet, user, prefix, f"mkdir {body.path:.200}", task), user)


@router.post("/api/board/move")
async def move(fleet: TheFleet, user: Operating, prefix: Prefix, body: Move) -> Any:
    """Move or rename a file or a folder of a board, as a job."""
    filework.check_goes(body.path)
    task = filework.moving(body.path, body.to, body.replace)
    what = f"move {body.path:.200} to {body.to:.200}"
    return told(await begin(fleet, user, prefix, what, task), user)


async def read(request: Request, fleet: Fleet, user: User, prefix: str, path: str) -> bytes:
    """Return what is in a file, and note that it was read. Raises Forbidden if that is not for
    `user`, and what Asking.file raises.
    """
    if not user.may(OPERATE) and may_be_secret(path):
        raise _secret(user, path)
    data = await waiting(request, fleet.asking.file, prefix, path)
    if not user.may(OPERATE) and may_be_secret(path, data):
        raise _secret(user, path)
    await quick(fleet.note, user, f"read {path:.200}", prefix, f"{len(data):,} B")
    return data


def _secret(user: User, path: str) -> Forbidden:
    return Forbidden(
        f"{path:.200} may hold secrets: that takes the role {OPERATE}; {user.name} has {user.role}."
    )
