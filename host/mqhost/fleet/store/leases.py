"""Decides who drives a rollout: who has its lease, which ends by itself if it is not renewed."""

from sqlalchemy import Connection, delete, insert, or_, select, update

from mqhost.fleet.store.records import LeaseLost
from mqhost.fleet.store.tables import leases


def claim(connection: Connection, number: int, owner: str, now: float, ttl: float) -> bool:
    """Take the lease of rollout `number`; return whether `owner` has it until now + ttl."""
    taken = connection.execute(
        update(leases)
        .where(
            leases.c.rollout_id == number,
            or_(leases.c.owner == owner, leases.c.expires_at <= now),
        )
        .values(owner=owner, expires_at=now + ttl)
    )
    if taken.rowcount:
        return True
    there = select(leases.c.owner).where(leases.c.rollout_id == number)
    if connection.execute(there).first():
        return False
    connection.execute(insert(leases).values(rollout_id=number, owner=owner, expires_at=now + ttl))
    return True


def renew(connection: Connection, number: int, owner: str, now: float, ttl: float) -> None:
    """Keep the lease; LeaseLost if another has taken it. One that has ended and that nobody has
    taken is still its owner's."""
    kept = connection.execute(
        update(leases)
        .where(leases.c.rollout_id == number, leases.c.owner == owner)
        .values(expires_at=now + ttl)
    )
    if not kept.rowcount:
        raise LeaseLost


def release(connection: Connection, number: int, owner: str) -> None:
    """Give the lease back."""
    connection.execute(delete(leases).where(leases.c.rollout_id == number, leases.c.owner == owner))


def owner(connection: Connection, number: int, now: float) -> str | None:
    """Return who has the lease of rollout `number`; None if nobody has."""
    query = select(leases.c.owner).where(leases.c.rollout_id == number, leases.c.expires_at > now)
    return connection.execute(query).scalar_one_or_none()
