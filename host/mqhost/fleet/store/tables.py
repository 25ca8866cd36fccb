"""Defines the tables of the database. A change of these needs another VERSION, and a way there."""

from sqlalchemy import (
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
)

VERSION = 1

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
    Column("broker", Text, nullable=False),
    Column("options", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Column("wave", Integer, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("created_by", Text, nullable=False),
)

# The columns are the fields of mqhost.fleet.rollout.states.Board, and the rollout's id.
boards = Table(
    "rollout_boards",
    metadata,
    Column("rollout_id", ForeignKey("rollouts.id"), primary_key=True),
    Column("prefix", Text, primary_key=True),
    Column("type", Text, nullable=False),
    Column("image", String(64), nullable=False),
    Column("wave", Integer, nullable=False),
    Column("place", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Column("since", Double),
    Column("turn_at", Double),
    Column("attempts", Integer, nullable=False),
    Column("not_before", Double),
    Column("again", Boolean, nullable=False),
    Column("steady_since", Double),
    Column("boot_id", Text),
)

# Who drives a rollout, until when if nothing more is heard of him.
leases = Table(
    "driver_leases",
    metadata,
    Column("rollout_id", ForeignKey("rollouts.id"), primary_key=True),
    Column("owner", Text, nullable=False),
    Column("expires_at", Double, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Double, nullable=False),
    Column("who", Text, nullable=False),
    Column("what", Text, nullable=False),
    Column("rollout_id", Integer),
    Column("board", Text),
    Column("result", Text, nullable=False),
    Index("audit_of_a_board", "board", "id"),
)
