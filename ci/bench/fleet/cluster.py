"""Counts what is lost of a rollout when a node of a broker cluster is killed in the middle of it,
and comes back: three RabbitMQ nodes behind HAProxy, simulated boards, and a crowd.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from ci.bench import Figure
from ci.bench.fleet.field import Rolled, RollingOut, crowd
from ci.bench.rig import Rig
from ci.chaos.world import Image
from ci.cluster.balancer import Balancer
from ci.cluster.herd import herd
from ci.cluster.rabbitmq import Cluster
from mqhost import packages
from mqhost.fleet.rollout.states import DONE

_SIMS, _BOARDS = 60, 2000
_SIMS_QUICK, _BOARDS_QUICK = 4, 100
_PHASE_S = 1800.0  # the most that any part of it takes
_TIMEOUT_S = 120.0  # three nodes on two cores need a minute for so many subscriptions


def measure(rig: Rig) -> dict[str, Figure]:
    """cluster_lost: boards that do not run their image in the end, were given it twice, or are not
    there, of so many as runs are told; each is named on stderr. One node is killed when a tenth of
    them is done, and started again when half of them is. cluster_boards_per_s: how fast it went.
    """
    packages.ensure("cluster", say=lambda line: rig.progress(line, 0, 0))
    sims, boards = (_SIMS_QUICK, _BOARDS_QUICK) if rig.quick else (_SIMS, _BOARDS)
    firmware = rig.firmware()
    second = Image.load(firmware.app).renamed("bench.cluster")
    with TemporaryDirectory() as name, Cluster() as cluster:
        folder = Path(name)
        options = "--image", str(firmware.app), "--keep"  # the cluster is thrown away, too
        with (
            Balancer([node.port for node in cluster.nodes]) as balancer,
            herd(folder, firmware.flash, rig.table, balancer.port, sims),
            crowd(balancer.port, boards, *options, rate=30) as figures,
        ):
            prefixes = [f"crowd/{number}" for number in range(1, boards + 1)]
            prefixes += [f"sim/{number}" for number in range(1, sims + 1)]
            image = second.offer, second.app
            with RollingOut(
                balancer.port, prefixes, [image], folder, "64", timeout=_TIMEOUT_S
            ) as rolling:
                rolled = _break(rig, rolling, cluster, len(prefixes))
    lost = [
        f"{row.prefix} is {row.state}: {row.reason}" for row in rolled.rows if row.state != DONE
    ]
    lost += ["an image was given twice"] * figures.figures["again"]
    lost += ["a board of the crowd did not come back"] * (boards - figures.figures["online"])
    print(*lost, sep="\n", file=sys.stderr)
    count = len(prefixes)
    return {
        "cluster_lost": Figure(len(lost), "boards", count, aim=0, part=rig.quick),
        "cluster_boards_per_s": Figure(round(count / rolled.seconds, 2), "boards/s", 1),
    }


def _break(rig: Rig, rolling: RollingOut, cluster: Cluster, count: int) -> Rolled:
    """Kill a node in the middle, and start it again."""
    rig.progress("rolling out over a cluster", 0, count)
    rolling.wait_for(count // 10, _PHASE_S)
    cluster.nodes[0].stop(hard=True)
    rig.progress("rolling out over two nodes", count // 10, count)
    rolling.wait_for(count // 2, _PHASE_S)
    cluster.nodes[0].start()
    rig.progress("rolling out over three nodes again", count // 2, count)
    return rolling.wait(_PHASE_S)
