"""Lists the boards, and says that the server is well."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import JSONResponse

from mqhost.fleet.server.api.common import TheFleet
from mqhost.fleet.server.door.auth import Looking

router = APIRouter(tags=["boards"])
_LONGEST = 2000  # characters of a condition


@router.get("/api/boards")
def list_boards(
    fleet: TheFleet,
    user: Looking,
    where: Annotated[
        str | None, Query(max_length=_LONGEST, description="A condition, as `version<0.5`.")
    ] = None,
    pattern: Annotated[
        str | None, Query(max_length=_LONGEST, description="A pattern of prefixes, as `farm/+`.")
    ] = None,
    group: Annotated[
        str | None, Query(max_length=_LONGEST, description="A group of mqboard.toml.")
    ] = None,
    after: Annotated[str, Query(description="Only boards with a prefix behind this one.")] = "",
    limit: Annotated[int, Query(ge=1, le=100_000, description="At most so many.")] = 100_000,
) -> Any:
    """List the boards that are chosen, by prefix: what each says of itself, and its last facts. A
    board that says more than 4 KB has `cut` in its record; all of it is at `/api/board`."""
    found = fleet.live.chosen(where, fleet.patterns(pattern, group))
    rest = [board for board in found if board.prefix > after]
    shown = rest[:limit]
    return JSONResponse(
        {
            "boards": [fleet.live.record(board) for board in shown],
            "total": len(found),
            "online": sum(board.online for board in found),
            "next": shown[-1].prefix if len(rest) > len(shown) else None,
        }
    )


@router.get("/api/groups")
def list_groups(fleet: TheFleet, user: Looking) -> Any:
    """List the groups of mqboard.toml by which boards can be chosen: the patterns of each, and how
    many boards it is."""
    told = []
    for name, patterns in sorted(fleet.groups.all().items()):
        found = fleet.live.chosen(None, patterns)
        online = sum(board.online for board in found)
        told.append({"name": name, "patterns": patterns, "boards": len(found), "online": online})
    return JSONResponse(told)


@router.get("/healthz", tags=["server"])
def healthz(fleet: TheFleet) -> Any:
    """Say whether the server hears its broker; nobody has to log in for that."""
    connected = fleet.live.connected
    return JSONResponse({"ok": connected, "broker": connected}, 200 if connected else 503)


@router.get("/api/me", tags=["server"])
def who_am_i(user: Looking) -> dict[str, str]:
    """Say who asks, and with which role."""
    return {"name": user.name, "role": user.role}
