"""Keeps app images in the database, each once and whole: who drives a rollout has what it sends.

They do not pile up: an image goes with the last rollout that has it, and above a limit also the
oldest of those which only rollouts have that are over.
"""

import hashlib
from collections.abc import Iterable

from sqlalchemy import Connection, delete, func, insert, select, update

from mqhost.errors import UsageError
from mqhost.fleet.rollout.states import ABORTED, FINISHED
from mqhost.fleet.store.tables import boards, images, rollouts
from mqhost.signing.offer import Offer

LIMIT = 256 * 1024 * 1024  # bytes that are kept for rollouts that are over, to retry in them
LARGEST = 16 * 1024 * 1024  # the flash of the largest ESP32 modules; real images have 1 to 3 MB


def keep(connection: Connection, offer: Offer, app: bytes, now: float) -> None:
    """Keep `app`, which `offer` describes; one that is there gets the signature it had not."""
    if not offer.matches(app):
        raise UsageError(f"The image does not match its offer, {offer.sha256[:16]}…: not kept.")
    if len(app) > LARGEST:
        raise UsageError(
            f"The image {offer.sha256[:16]}… has {len(app):,} B; at most {LARGEST:,} B are kept in "
            "a database, and no board's slot is larger."
        )
    this = images.c.sha256 == offer.sha256
    described = {"offer": offer.to_bytes(), "signature": offer.signature}
    there = connection.execute(select(images.c.signature).where(this)).scalar_one_or_none()
    if there is None:
        row = {"sha256": offer.sha256, "app": app, "added_at": now} | described
        connection.execute(insert(images).values(row))
    elif offer.signature:
        connection.execute(update(images).where(this).values(described))


def read(connection: Connection, sha256: str) -> tuple[Offer, bytes]:
    """Return the image with its offer; UsageError if it is not there, or not what it was."""
    row = connection.execute(select(images).where(images.c.sha256 == sha256)).one_or_none()
    if row is None:
        raise UsageError(f"The image {sha256[:16]}… is not in the database: make a new rollout.")
    offer = Offer.from_bytes(row.offer, f"the offer of {sha256[:16]}…").signed(row.signature)
    if hashlib.sha256(row.app).hexdigest() != sha256 or not offer.matches(row.app):
        raise UsageError(f"The image {sha256[:16]}… is damaged in the database.")
    return offer, row.app


def listed(connection: Connection) -> list[tuple[Offer, float]]:
    """Return the offers of the images, and when each was added, the last one first."""
    query = select(images.c.sha256, images.c.offer, images.c.signature, images.c.added_at)
    found = []
    for row in connection.execute(query.order_by(images.c.added_at.desc())):
        offer = Offer.from_bytes(row.offer, f"the offer of {row.sha256[:16]}…")
        found.append((offer.signed(row.signature), row.added_at))
    return found


def named(connection: Connection, start: str) -> str:
    """Return the SHA-256 of the image whose SHA-256 begins so."""
    query = select(images.c.sha256).where(images.c.sha256.startswith(start, autoescape=True))
    found = [row.sha256 for row in connection.execute(query.limit(2))]
    if len(found) == 1:
        return str(found[0])
    many = "more than one image" if found else "no image"
    raise UsageError(f"There is {many} in the database whose SHA-256 begins with {start:.64}.")


def is_there(connection: Connection, sha256: str) -> bool:
    """Return whether an image is kept."""
    query = select(images.c.sha256).where(images.c.sha256 == sha256)
    return connection.execute(query).first() is not None


def drop(connection: Connection, wanted: Iterable[str]) -> None:
    """Remove those of `wanted` that no rollout has."""
    for sha256 in wanted:
        this = images.c.sha256 == sha256
        connection.execute(
            delete(images).where(this, images.c.sha256.not_in(select(boards.c.image)))
        )


def make_room(connection: Connection) -> None:
    """Remove the oldest images until there are at most LIMIT bytes; not those that a rollout has
    which goes on. Who retries one of the others is told to make a new rollout.
    """
    going_on = (
        select(boards.c.image)
        .join(rollouts, rollouts.c.id == boards.c.rollout_id)
        .where(rollouts.c.state.not_in((ABORTED, FINISHED)))
    )
    size = func.length(images.c.app)
    query = select(images.c.sha256, size, images.c.sha256.in_(going_on))
    total = 0
    for sha256, length, needed in connection.execute(query.order_by(images.c.added_at.desc())):
        total += length
        if total > LIMIT and not needed:
            connection.execute(delete(images).where(images.c.sha256 == sha256))
