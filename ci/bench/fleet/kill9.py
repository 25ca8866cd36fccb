"""Counts what is lost when the process that drives a rollout is killed, again and again, by kill -9
at random moments: the real command line, over real MQTT, to a crowd of boards; on SQLite and on
PostgreSQL.

The lease of the dead is made to lapse at once, so that nobody waits the 15 s that it has.
"""

import contextlib
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import update

from ci.bench import Figure
from ci.bench.rig import Rig
from ci.postgres import Postgres
from mqhost import packages
from mqhost.errors import ToolError
from mqhost.fleet.many import call_roll
from mqhost.fleet.rollout.states import DONE
from mqhost.fleet.store import tables
from mqhost.fleet.store.store import Store
from mqhost.link.connection import Connection
from mqhost.link.settings import Settings
from mqhost.paths import ROOT
from mqhost.progress import Progress
from mqhost.signing.offer import Offer
from mqhost.update.store import APP, OFFER
from mqwire.flash import CONFIRMED_STATES

_SQLITE, _POSTGRES, _QUICK = 40, 12, 4  # kills
_BOARDS = 24
_SIZE = 60_000  # bytes of an image
_EARLY = 0.2  # of the kills come while the process starts
_LIFE_S, _START_S = 1.5, 1.5  # seconds until a kill, at most
_TURN_S = 120.0  # until a process drives, or has ended
_LOOK_S = 0.02
_MQBOARD = [sys.executable, "-m", "mqhost.cli"]


@dataclass
class Count:
    """What has happened: boards that were `lost` are named with why."""

    kills: int
    rollouts: int
    lost: list[str]
    needless_blocks: int


def measure(rig: Rig) -> dict[str, Figure]:
    """kill9_kills: how often a driver was killed, in kill9_rollouts rollouts. kill9_lost: boards
    that did not get their image, or got it twice; each is told on stderr. kill9_needless_blocks:
    blocks that came to boards which had them: what was under way when a driver was killed.
    """
    counts = [killed(rig, str(rig.folder / "kill9.db"), _QUICK if rig.quick else _SQLITE)]
    if not rig.quick:
        packages.ensure("database", say=lambda line: rig.progress(line, 0, 0))
        with Postgres() as server:
            counts.append(killed(rig, server.database("kill9"), _POSTGRES))
    lost = [board for count in counts for board in count.lost]
    for board in lost:
        print(board, file=sys.stderr)
    kills = sum(count.kills for count in counts)
    rollouts = sum(count.rollouts for count in counts)
    blocks = sum(count.needless_blocks for count in counts)
    return {
        "kill9_kills": Figure(kills, "kills", kills, aim=50, at_least=True, part=rig.quick),
        "kill9_rollouts": Figure(rollouts, "rollouts", kills),
        "kill9_lost": Figure(len(lost), "boards", kills, aim=0, part=rig.quick),
        "kill9_needless_blocks": Figure(blocks, "blocks", kills),
    }


def killed(rig: Rig, place: str, kills: int, boards: int = _BOARDS) -> Count:
    """Roll images out to a crowd, in the database at `place`, and kill the driver `kills` times;
    then let the rollout end.
    """
    dice = random.Random(kills)
    settings = Settings(server=rig.broker.host, port=rig.broker.port, tls=False, timeout=20)
    lost: list[str] = []
    rollouts = done = 0
    with _crowd(settings, boards) as said, Store(place) as store:
        while done < kills:
            rollouts += 1
            offer = _write_image(rig.folder / "kill9", dice, rollouts)
            number = _begin(settings, place, rig.folder / "kill9", boards)
            todo = range(done, kills)
            done += _drive(settings, place, store, number, todo, dice, rig.progress)
            lost += _missing(store, number, settings, offer, boards)
    lost += ["a board was sent its image again"] * said["again"]
    return Count(done, rollouts, lost, said["needless_blocks"])


@contextlib.contextmanager
def _crowd(settings: Settings, boards: int) -> Iterator[dict]:
    """Run a crowd while the `with` block does; afterwards give what it counted."""
    said: dict = {}
    line = [*_MQBOARD, "--server", settings.server, "--port", str(settings.port), "crowd"]
    line += ["--boards", str(boards), "--json", "--restart", "1", "--health", "0.5"]
    line += ["--prefix", "kill9/{n}", "--block-ms", "10"]
    process = subprocess.Popen(
        line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        yield said
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=_TURN_S)
    finally:
        process.kill()
        process.wait()
    said |= json.loads(output)


def _write_image(folder: Path, dice: random.Random, number: int) -> Offer:
    folder.mkdir(exist_ok=True)
    app = dice.randbytes(_SIZE)
    version = f"9.{number}"
    offer = Offer.make(app, board="esp32", mcu="esp32", version=version, seq=1000 + number)
    (folder / APP).write_bytes(app)
    (folder / OFFER).write_bytes(offer.to_bytes())
    return offer


def _command(settings: Settings, place: str, *words: str) -> list[str]:
    line = [*_MQBOARD, "--server", settings.server, "--port", str(settings.port)]
    return [*line, "fleet", "rollout", *words, "--database", place, "--json"]


def _begin(settings: Settings, place: str, image: Path, boards: int) -> int:
    """Put a rollout to all boards of the crowd into the database; return its number."""
    deadline = time.monotonic() + _TURN_S
    while len(_roll(settings)) < boards:
        if time.monotonic() > deadline:
            raise ToolError("The crowd did not come up.")
        time.sleep(0.1)
    words = ("start", str(image), "kill9/+", "--no-drive", "--yes", "--settle", "1s")
    ended = subprocess.run(
        _command(settings, place, *words, "--parallel", "4"),
        cwd=ROOT, capture_output=True, text=True, timeout=_TURN_S,
    )  # fmt: skip
    if ended.returncode:
        raise ToolError(ended.stderr)
    return int(json.loads(ended.stdout.splitlines()[0])["id"])


def _drive(
    settings: Settings,
    place: str,
    store: Store,
    number: int,
    todo: range,
    dice: random.Random,
    progress: Progress,
) -> int:
    """Drive a rollout to its end, and kill each process that does, at most as many as `todo` has;
    return how many were killed."""
    done = 0
    while True:
        early = done < len(todo) and dice.random() < _EARLY
        process = subprocess.Popen(
            _command(settings, place, "drive", str(number)),
            cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            if done == len(todo):
                process.wait(_TURN_S)
                return done
            if not early:
                _await_driver(store, number, process)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(dice.uniform(0, _START_S if early else _LIFE_S))
                return done
        finally:
            process.kill()
            process.wait()
        done += 1
        progress("killing drivers", todo[done - 1] + 1, todo.stop)
        with store.database.change() as connection:
            connection.execute(update(tables.leases).values(expires_at=0))


def _await_driver(store: Store, number: int, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + _TURN_S
    while process.poll() is None and store.driver(number) is None:
        if time.monotonic() > deadline:
            raise ToolError(f"Rollout {number} is not driven.")
        time.sleep(_LOOK_S)


def _missing(store: Store, number: int, settings: Settings, offer: Offer, boards: int) -> list[str]:
    """Return what is wrong with the end of a rollout, by board."""
    rollout, rows = store.read(number)
    wrong = [f"{row.prefix} is {row.state}: {row.reason}" for row in rows if row.state != DONE]
    if len(rows) != boards:
        wrong += [f"rollout {rollout.id} has {len(rows)} boards of {boards}"]
    there = _roll(settings)
    for row in rows:
        status = there.get(row.prefix)
        if status is None:
            wrong.append(f"{row.prefix} is not there")
        elif (
            status.get("image") != offer.sha256 or status.get("slot_state") not in CONFIRMED_STATES
        ):
            wrong.append(f"{row.prefix} runs {status.get('version')}, and not {offer.version}")
    return wrong


def _roll(settings: Settings) -> dict[str, dict]:
    """Return the statuses of the crowd's boards that are online."""
    connection = Connection(settings)
    connection.connect()
    with contextlib.closing(connection):
        found = call_roll(connection, ["kill9/+"])
    return {prefix: board.status for prefix, board in found.items() if board and board.online}
