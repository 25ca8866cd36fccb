"""Defines the tables of the database. A change of these needs another VERSION, and a way there."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)

VERSION = 3


class Words(TypeDecorator[str]):
    """A text that people or boards wrote. What no database takes in it, NUL (PostgreSQL) and halves
    of characters, is replaced: otherwise a board could keep all that is written with it out.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        """Return what is written."""
        if value is None:
            return None
        return value.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")


metadata = MetaData()

# One row: the version of all that follows.
schema = Table("schema_version", metadata, Column("version", Integer, primary_key=True))

# App images by their SHA-256, whole, with offer and signature: a driver on another machine has
# them, too.
images = Table(
    "images",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("offer", LargeBinary, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    Column("app", LargeBinary, nullable=False),
    Column("added_at", Double, nullable=False),
)

rollouts = Table(
    "rollouts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("broker", Words, nullable=False),
    Column("options", Words, nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", Words, nullable=False),
    Column("wave", Integer, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("created_by", Words, nullable=False),
)

# The columns are the fields of mqhost.fleet.rollout.states.Board, and the rollout's id.
boards = Table(
    "rollout_boards",
    metadata,
    Column("rollout_id", ForeignKey("rollouts.id"), primary_key=True),
    Column("prefix", Words, primary_key=True),
    Column("type", Words, nullable=False),
    Column("image", String(64), nullable=False),
    Column("wave", Integer, nullable=False),
    Column("place", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", Words, nullable=False),
    Column("since", Double),
    Column("turn_at", Double),
    Column("attempts", Integer, nullable=False),
    Column("not_before", Double),
    Column("again", Boolean, nullable=False),
    Column("steady_since", Double),
    Column("boot_id", Words),
)

# Who drives a rollout, until when if nothing more is heard of him.
leases = Table(
    "driver_leases",
    metadata,
    Column("rollout_id", ForeignKey("rollouts.id"), primary_key=True),
    Column("owner", Words, nullable=False),
    Column("expires_at", Double, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Double, nullable=False),
    Column("who", Words, nullable=False),
    Column("what", Words, nullable=False),
    Column("rollout_id", Integer),
    Column("board", Words),
    Column("result", Words, nullable=False),
    Index("audit_of_a_board", "board", "id"),
)

# From here on what the server needs (schema 2).

# Who may do what. Without a password: somebody whom a reverse proxy names, or a script.
users = Table(
    "users",
    metadata,
    Column("name", Words, primary_key=True),
    Column("role", String(16), nullable=False),
    Column("password", Words),
    Column("created_at", Double, nullable=False),
)

# Who is logged in, and the tokens of scripts: what the database has is a hash of what they show.
credentials = Table(
    "credentials",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("user", ForeignKey("users.name", ondelete="CASCADE"), nullable=False),
    Column("label", Words, nullable=False),
    Column("role", String(16), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("used_at", Double, nullable=False),
    Column("expires_at", Double),
    Index("credentials_of_a_user", "user"),
)

# What all servers on this database have in common: the keys that they sign cookies with.
secrets = Table(
    "secrets",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("value", Words, nullable=False),
)

# The servers on this database, and when each was last heard of.
servers = Table(
    "servers",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("seen_at", Double, nullable=False),
)

# The boards of the history by number: a row of it is short then.
history_boards = Table(
    "history_boards",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("broker", Words, nullable=False),
    Column("prefix", Words, nullable=False),
    UniqueConstraint("broker", "prefix"),
)

# What boards said over time: a row for each span of `step` seconds that begins at the Unix time
# `at`. Of heap and rssi the mean and the lowest of `samples`; of reconnects how many there were.
history = Table(
    "history",
    metadata,
    Column("board", ForeignKey("history_boards.id"), primary_key=True),
    Column("step", Integer, primary_key=True),
    Column("at", BigInteger, primary_key=True),
    Column("samples", Integer, nullable=False),
    Column("heap", Double),
    Column("heap_low", Double),
    Column("rssi", Double),
    Column("rssi_low", Double),
    Column("reconnects", Integer, nullable=False),
    Index("history_by_age", "step", "at"),
)

# What boards logged last, and their crashes, by the server that heard it.
board_log = Table(
    "board_log",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("board", ForeignKey("history_boards.id"), nullable=False),
    Column("at", Double, nullable=False),
    Column("kind", String(8), nullable=False),
    Column("text", Words, nullable=False),
    Index("log_of_a_board", "board", "id"),
    Index("log_by_age", "at"),
)

# From here on what came with schema 3.

# The jobs that are under way, by the server that does each; `place`: where that listens.
jobs = Table(
    "jobs_under_way",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("broker", Words, nullable=False),
    Column("server", String(64), nullable=False),
    Column("place", Words, nullable=False),
    Column("board", Words, nullable=False),
    Column("who", Words, nullable=False),
    Column("what", Words, nullable=False),
    Column("asked_at", Double, nullable=False),
)

SINCE_3 = (jobs,)
SINCE_2 = (users, credentials, secrets, servers, history_boards, history, board_log)
