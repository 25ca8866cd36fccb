"""Measures what it costs to update many boards by one broadcast, while messages are lost.

Host and boards reach the broker through a proxy, which loses messages and counts what passes up.
"""

import contextlib
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from ci.bench import Figure
from ci.bench.rig import NEXT_VERSION, Rig
from ci.proxies.lossyproxy import LossyProxy, Message, at_qos_0, of_blocks
from mqhost.errors import ToolError
from mqhost.fleet.cast.broadcast import Broadcast
from mqhost.fleet.cast.listener import INSTALLED
from mqhost.fleet.cast.pusher import Cast
from mqhost.fleet.rollout.outcome import Outcome
from mqhost.fleet.rollout.states import Board
from mqhost.link.connection import Connection
from mqhost.link.roster import Roster
from mqhost.link.settings import Settings
from mqhost.paths import ROOT
from mqhost.signing.offer import load_image
from mqhost.sim.filesystem import default_config, provision_flash

_BOARDS, _BOARDS_QUICK = 200, 12
_PROCESSES = 4
_LOSS = 0.05
_BOOT_SECONDS = 600.0
_UPDATE_SECONDS = 1800.0
# Of what passes up to the broker: what the update itself is. Statuses and logs any restart has.
_HEAD = 7  # bytes of a PUBLISH at QoS 1 but for topic and payload, if these have up to 16 KB
_UPDATE = ("blocks", "commands", "replies")


@dataclass(frozen=True)
class Run:
    """One broadcast: how many `boards` have confirmed, the bytes to the broker `up` by kind, how
    many messages were `lost`, and what the sender counted."""

    boards: int
    up: Counter[str]
    lost: int
    seconds: float
    broadcast: Broadcast

    @property
    def ratio(self) -> float:
        """All bytes of messages of the update that reached the broker, the host's and the boards',
        over those of one image's blocks: each with topic and headers."""
        heads = self.broadcast.stream_messages * (_HEAD + len(self.broadcast.stream.topic))
        one = self.broadcast.stream_bytes + heads
        return sum(self.up[kind] for kind in _UPDATE) / one

    @property
    def host_ratio(self) -> float:
        """The same of what the host sent."""
        return self.broadcast.bytes_sent / self.broadcast.stream_bytes


def measure(rig: Rig) -> dict[str, Figure]:
    """broadcast_ratio: bytes that reach the broker for an update of 200 boards in full, over those
    of one image's stream, with 5 % of all messages at QoS 0 lost: the messages of host and boards
    with topics and headers, without the boards' logs and statuses. broadcast_host_ratio: the same
    of the host's payloads. broadcast_lossy_ratio: where 5 % of the blocks' own messages are lost,
    each board others, although they are at QoS 1. broadcast_missed: boards that did not
    confirm. broadcast_seconds: from the beginning to the last one's confirmation.
    """
    count = _BOARDS_QUICK if rig.quick else _BOARDS
    usual = run(rig, count, at_qos_0)
    lossy = run(rig, count, of_blocks)
    missed = 2 * count - usual.boards - lossy.boards
    part = rig.quick
    return {
        "broadcast_ratio": Figure(round(usual.ratio, 3), "of one", count, aim=1.1, part=part),
        "broadcast_host_ratio": Figure(
            round(usual.host_ratio, 3), "of one", count, aim=1.1, part=part
        ),
        "broadcast_lossy_ratio": Figure(round(lossy.ratio, 3), "of one", count),
        "broadcast_missed": Figure(missed, "boards", 2 * count, aim=0, part=part),
        "broadcast_seconds": Figure(round(usual.seconds, 1), "s", count),
    }


def run(rig: Rig, count: int, loses: Callable[[Message], bool], rate: float = _LOSS) -> Run:
    """Update `count` new boards by a broadcast."""
    image = rig.firmware(NEXT_VERSION)
    offer, app = load_image(image.app)
    with LossyProxy(rig.broker.port, rate, loses) as proxy:
        settings = replace(rig.settings, server="127.0.0.1", port=proxy.port, prefix="")
        with _boards(rig, count, settings) as (connection, prefixes):
            before, lost, start = proxy.up.copy(), proxy.lost, time.monotonic()
            broadcasts: list[Broadcast] = []
            outcomes: dict[str, Outcome] = {}
            over = threading.Event()
            pusher = Cast(settings, connection, full=True, gather=2.0, finished=broadcasts.append)
            for place, prefix in enumerate(prefixes):
                board = Board(prefix, offer.board, offer.sha256, 0, place)
                pusher.start(board, offer, app, _noting(outcomes, prefix, count, over))
            while not over.wait(1.0):
                rig.progress("boards updated by a broadcast", len(outcomes), count)
                if time.monotonic() - start > _UPDATE_SECONDS:
                    break
            seconds = time.monotonic() - start
            up = proxy.up - before
            lost = proxy.lost - lost
    if len(broadcasts) != 1:
        raise ToolError(f"{len(broadcasts)} broadcasts have ended, and not one: {outcomes}")
    print(
        f"{count} boards: {dict(up)}; {lost} messages lost, {broadcasts[0].rounds} rounds, "
        f"{sum(one.state != INSTALLED for one in broadcasts[0].listeners)} boards pushed to alone",
        *{outcome.reason for outcome in outcomes.values()},
        file=sys.stderr,
    )
    confirmed = sum(outcome.confirmed for outcome in outcomes.values())
    return Run(confirmed, up, lost, seconds, broadcasts[0])


def _noting(
    outcomes: dict[str, Outcome], prefix: str, count: int, over: threading.Event
) -> Callable[[Outcome], None]:
    def done(outcome: Outcome) -> None:
        outcomes[prefix] = outcome
        if len(outcomes) == count:
            over.set()

    return done


@contextlib.contextmanager
def _boards(rig: Rig, count: int, settings: Settings) -> Iterator[tuple[Connection, list[str]]]:
    """Run `count` new boards in a few processes; they are all online, and their first image is
    confirmed. Gives a connection, and their prefixes."""
    prefixes = [f"bench/{number:03}" for number in range(count)]
    paths = []
    for prefix in prefixes:
        path = rig.folder / f"{prefix.replace('/', '-')}.bin"
        path.unlink(missing_ok=True)
        config = default_config(prefix, settings.server, settings.port)
        provision_flash(path, rig.firmware().flash, rig.table, config)
        paths.append(path)
    connection = Connection(settings)
    # Statuses come at QoS 0 to who looks at many: past the proxy.
    onlooker = Connection(rig.settings)
    with contextlib.ExitStack() as stack:
        for made in (connection, onlooker):
            made.connect()
            stack.callback(made.close)
        for first in range(min(_PROCESSES, count)):
            stack.enter_context(_process([str(path) for path in paths[first::_PROCESSES]]))
        with Roster(onlooker, "bench/+") as roster:
            stack.callback(roster.forget, prefixes)
            _wait_online(rig, roster, prefixes)
            yield connection, prefixes
    for path in paths:
        path.unlink()


@contextlib.contextmanager
def _process(paths: list[str]) -> Iterator[None]:
    """Run the boards in a process, which ends with its input, also if we are killed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "ci.bench.fleet.simboards", *paths],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    with process:
        yield
        assert process.stdin
        process.stdin.close()


def _wait_online(rig: Rig, roster: Roster, prefixes: list[str]) -> None:
    deadline = time.monotonic() + _BOOT_SECONDS
    while True:
        seen = roster.sightings()
        states = [seen[prefix].status for prefix in prefixes if prefix in seen]
        ready = sum(
            status.get("state") == "online" and status.get("slot_state") in ("valid", "undefined")
            for status in states
        )
        rig.progress("boards online", ready, len(prefixes))
        if ready == len(prefixes):
            return
        if time.monotonic() > deadline:
            raise ToolError(f"Only {ready} of {len(prefixes)} boards came up.")
        time.sleep(0.5)
