"""Draws the files of a board: a folder, and one file to read or, for who may, to edit."""

import hashlib
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import HTMLResponse

from mqhost.errors import ToolError
from mqhost.fleet.page import facts
from mqhost.fleet.page.drawing import part, sentence
from mqhost.fleet.server.api.common import Prefix, TheFleet, waiting
from mqhost.fleet.server.api.files import read
from mqhost.fleet.server.asking import LARGEST_FILE
from mqhost.fleet.server.door.auth import Forbidden, Looking
from mqhost.fleet.server.door.users import User
from mqhost.fleet.server.secretfiles import as_text, is_configuration, normal
from mqhost.fleet.server.working.filework import NOTHING

router = APIRouter()
_SHOWN = 256 * 1024  # characters of a text that a page has
BoardPath = Annotated[str, Query(max_length=1000)]


@router.get("/board/files")
async def files(
    request: Request, fleet: TheFleet, user: Looking, prefix: Prefix, path: BoardPath = "/"
) -> HTMLResponse:
    """Ask the board what is in a folder, and draw it."""
    path = normal(path)
    try:
        entries = await waiting(request, fleet.asking.files, prefix, path)
    except ToolError as error:
        return sentence(error)
    entries.sort(key=lambda entry: (not entry["folder"], entry["path"]))
    return part("files.html", entries=entries, largest=LARGEST_FILE, **_place(prefix, path, user))


@router.get("/board/file")
async def file(
    request: Request,
    fleet: TheFleet,
    user: Looking,
    prefix: Prefix,
    path: BoardPath,
    new: bool = False,
) -> HTMLResponse:
    """Ask the board for a file, and draw it; `new`: there is none yet, and it is to be written."""
    path = normal(path)
    told = _place(prefix, path, user) | {"was": NOTHING, "text": "", "size": None, "why": ""}
    told |= {"new": new, "there": not new, "configuration": is_configuration(path)}
    if not new:
        try:
            told |= await _content(request, fleet, prefix, path, user)
        except (ToolError, Forbidden) as error:
            told |= {"text": None, "why": str(error), "there": False}
    return part("file.html", **told)


async def _content(
    request: Request, fleet: TheFleet, prefix: str, path: str, user: User
) -> dict[str, Any]:
    """Return what of a file is shown: its text, or why there is none."""
    if is_configuration(path):
        why = "It is shown, with its secrets masked, and changed on another side:"
        return {"text": None, "why": why}
    data = await read(request, fleet, user, prefix, path)
    text = as_text(data)
    told = {"was": hashlib.sha256(data).hexdigest(), "size": len(data), "text": text}
    if text is None:
        return told | {"why": "This is no text."}
    if len(text) > _SHOWN:
        return told | {"text": None, "why": "This is too long to be shown in a page."}
    return told


def _place(prefix: str, path: str, user: User) -> dict[str, Any]:
    above = list(facts.parents(path))
    return {"prefix": prefix, "path": path, "above": above, "user": user}
