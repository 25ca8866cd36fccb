"""Opens the store where SQLAlchemy is installed, and else says how to get it."""

from typing import TYPE_CHECKING

from mqhost.extras import explained

if TYPE_CHECKING:
    from mqhost.fleet.store.store import Store


def open_store(place: str | None = None) -> "Store":
    """Return the store at `place`, see Database; UsageError if what it needs is not installed."""
    try:
        from mqhost.fleet.store.store import Store

        return Store(place)
    except ModuleNotFoundError as error:
        told = explained(error)
        if told is None:
            raise
        raise told from error
