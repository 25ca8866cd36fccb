"""Finds out who asks: by a token, by what a proxy says, or by a session; and whether he may.

On loopback, as long as there are no users and no proxy names any, it is everybody on this machine.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import Depends
from starlette.requests import HTTPConnection

from mqhost.fleet.server.door.access import Access
from mqhost.fleet.server.door.users import LOCAL, LOOK, OPERATE, UPDATE, User, Users

_BEARER = "bearer "
# What a proxy adds: without users nobody but this machine may come in.
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
SECRET = "secret"  # in the session


class LoginNeeded(Exception):
    """It is not known who asks."""


class Forbidden(Exception):
    """Who asks may not do that; the text says what it takes."""


class Doorkeeper:
    """Decides who somebody is."""

    def __init__(self, access: Access, users: Users) -> None:
        self.access = access
        self.users = users

    def open(self) -> bool:
        """Return whether everybody on this machine may do everything."""
        return self.access.loopback and not self.access.header and not self.users.any()

    def who(self, request: HTTPConnection) -> User:
        """Return who asks. Raises LoginNeeded, and Forbidden with a sentence."""
        shown = request.headers.get("authorization", "")
        if shown.lower().startswith(_BEARER):
            user = self.users.of_token(shown[len(_BEARER) :].strip())
            if user is None:
                raise LoginNeeded("That token is none, or not any more.")
            return user
        if self.access.header and (user := self._named(request)):
            return user
        secret = request.session.get(SECRET)
        if isinstance(secret, str) and (user := self.users.of_session(secret)):
            return user
        if self.open():
            if any(name in request.headers for name in _FORWARDED):
                raise Forbidden(
                    "This comes through a proxy, and there are no users. Make some, with mqboard "
                    "fleet user add NAME, or have the proxy say who it is: --proxy-header."
                )
            return LOCAL
        raise LoginNeeded("Log in first, or show a token: Authorization: Bearer TOKEN.")

    def _named(self, request: HTTPConnection) -> User | None:
        """Return whom a proxy names that is believed; None if none does."""
        names = request.headers.getlist(self.access.header)
        if not names or request.client is None or not self.access.trusts(request.client.host):
            return None
        user = self.users.named(names[0]) if len(names) == 1 else None
        if user is None:
            raise Forbidden(
                f"{names[0]!r:.60} has no role here. An operator gives one: mqboard fleet user add "
                "NAME --role look --no-password."
            )
        return user


def current(request: HTTPConnection) -> User:
    """Return who asks, as a dependency of FastAPI."""
    doorkeeper: Doorkeeper = request.app.state.fleet.doorkeeper
    return doorkeeper.who(request)


def needing(role: str) -> Callable[[User], Awaitable[User]]:
    """Return the dependency that gives who asks, if that one has at least `role`."""

    async def allowed(user: Annotated[User, Depends(current)]) -> User:
        if not user.may(role):
            raise Forbidden(f"That takes the role {role}; {user.name} has {user.role}.")
        return user

    allowed.__dict__["role"] = role  # for who describes the paths
    return allowed


Looking = Annotated[User, Depends(needing(LOOK))]
Operating = Annotated[User, Depends(needing(OPERATE))]
Updating = Annotated[User, Depends(needing(UPDATE))]


def address_of(request: HTTPConnection, access: Access) -> str:
    """Return from where somebody asks: of a proxy that is believed, or on this machine, what it
    says last; to count wrong passwords by.
    """
    address = request.client.host if request.client else ""
    told = request.headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
    behind = access.trusts(address) or access.loopback and access.urls
    return told[:60] if told and behind else address


def role_of(route: Any) -> str:
    """Return the role that a path of FastAPI takes; "" for none."""
    found = [getattr(one.call, "role", "") for one in route.dependant.dependencies]
    return next(filter(None, found), "")
