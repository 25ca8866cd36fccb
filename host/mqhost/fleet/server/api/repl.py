"""Carries a prompt over a WebSocket: JSON texts, as docs/api.md says. It ends when its user is not
let in any more.
"""

import asyncio
import json
from contextlib import suppress
from typing import Any

from anyio import from_thread, to_thread
from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketDisconnect

from mqhost.errors import ToolError
from mqhost.fleet.server.api.common import quick
from mqhost.fleet.server.door.auth import Forbidden, LoginNeeded, current
from mqhost.fleet.server.door.users import OPERATE, User
from mqhost.fleet.server.fleet import Fleet
from mqhost.fleet.server.working.console import Console
from mqhost.link.session import Session

router = APIRouter()
_MOST = 32  # prompts at a time
_LOOK = 5.0  # seconds until it is looked again whether somebody may still be here
_LONGEST = 32 * 1024  # characters of what is typed
_REFUSED = 1008


@router.websocket("/api/board/repl")
async def repl(socket: WebSocket, prefix: str) -> None:
    """Open a prompt on a board."""
    fleet: Fleet = socket.app.state.fleet
    await socket.accept()
    try:
        user = await quick(_allowed, socket)
        board = await quick(fleet.asking.need, prefix, True)
        if fleet.consoles >= _MOST:
            raise Forbidden(f"{_MOST} prompts are open already.")
        await quick(fleet.note, user, "repl", prefix, "opened")
    except (ToolError, LoginNeeded, Forbidden) as error:
        await socket.send_json({"error": str(error)})
        await socket.close(_REFUSED)
        return
    fleet.consoles += 1
    session = Session(fleet.settings.for_one(prefix), connection=fleet.connection)
    try:
        with session:
            await socket.send_json({"ready": prefix, "version": board.fact("version")})
            await _Talk(socket, fleet, user, prefix, Console(session)).run()
    finally:
        fleet.consoles -= 1


def _allowed(socket: WebSocket) -> User:
    user = current(socket)
    if not user.may(OPERATE):
        raise Forbidden(f"That takes the role {OPERATE}; {user.name} has {user.role}.")
    return user


class _Talk:
    """Takes what comes over `socket`, until that is closed."""

    def __init__(
        self, socket: WebSocket, fleet: Fleet, user: User, prefix: str, console: Console
    ) -> None:
        self._socket = socket
        self._fleet = fleet
        self._user = user
        self._prefix = prefix
        self._console = console
        self._running: asyncio.Task[None] | None = None

    async def run(self) -> None:
        watch = asyncio.create_task(self._watch())
        try:
            while True:
                said = json.loads(await self._socket.receive_text())
                if not isinstance(said, dict):
                    raise ValueError
                await self._take(said)
        except (ValueError, RecursionError):
            await self._leave("That is no message as docs/api.md has them.")
        except WebSocketDisconnect:
            pass
        finally:
            watch.cancel()
            self._console.interrupt()  # nobody is there to see what it does
            if self._running:
                self._running.cancel()

    async def _take(self, said: dict[str, Any]) -> None:
        text = said.get("run")
        if isinstance(text, str) and len(text) <= _LONGEST:
            if self._running and not self._running.done():
                await self._socket.send_json({"error": "Something runs already."})
            elif not await quick(self._console.is_whole, text):
                await self._socket.send_json({"more": said.get("id")})
            else:
                self._console.begin()
                self._running = asyncio.create_task(self._execute(text, said.get("id")))
        elif said.get("interrupt"):
            self._console.interrupt()
        elif isinstance(line := said.get("complete"), str) and len(line) <= _LONGEST:
            names = await quick(self._console.complete, line)
            await self._socket.send_json({"completed": said.get("id"), "names": names})
        else:
            raise ValueError

    async def _execute(self, text: str, ident: Any) -> None:
        """Run code; who does not read its output holds the board back."""

        def write(part: str) -> None:
            from_thread.run(self._socket.send_json, {"out": part})

        try:
            what = f"repl {text.strip():.500}"
            await quick(self._fleet.note, self._user, what, self._prefix, "run")
            ended = await to_thread.run_sync(self._console.run, text, write, abandon_on_cancel=True)
        except ToolError as error:  # what cannot be audited is not done
            await self._leave(str(error))
            return
        except (WebSocketDisconnect, RuntimeError):
            return
        with suppress(WebSocketDisconnect, RuntimeError):
            if ended.text:
                await self._socket.send_json({"out": ended.text + "\n"})
            await self._socket.send_json({"done": ident, "ok": ended.ok})

    async def _watch(self) -> None:
        """Close it when its user may not be here any more."""
        while True:
            await asyncio.sleep(_LOOK)
            try:
                await quick(_allowed, self._socket)
            except (LoginNeeded, Forbidden) as error:
                await self._leave(str(error))
                return

    async def _leave(self, why: str) -> None:
        with suppress(WebSocketDisconnect, RuntimeError):
            await self._socket.send_json({"error": why})
            await self._socket.close(_REFUSED)
