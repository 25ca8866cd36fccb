"""Opens the store where SQLAlchemy is installed, and else says how to get it."""

from typing import TYPE_CHECKING

from mqhost.errors import UsageError

if TYPE_CHECKING:
    from mqhost.fleet.store.store import Store


def open_store(place: str | None = None) -> "Store":
    """Return the store at `place`, see Database; UsageError if what it needs is not installed."""
    try:
        from mqhost.fleet.store.store import Store

        return Store(place)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("sqlalchemy", "psycopg"):
            raise
        raise UsageError(
            "Rollouts are kept in a database, and this mqboard was installed without what that "
            "needs. Install it with its extra: pipx install --force 'WHEEL[fleet]', where WHEEL is "
            "the file that it was installed from."
        ) from error
