"""Measures what is left in a board's heap after the work of years; see ci/soak.py."""

from ci.bench import Figure
from ci.bench.rig import Rig
from ci.chaos.world import Image
from ci.soak import Work, soaking

_WORK = Work(messages=100_000, reconnects=1_000, evals=200, updates=50)
_WORK_QUICK = Work(messages=10_000, reconnects=100, evals=50, updates=4)


def measure(rig: Rig) -> dict[str, Figure]:
    """heap_growth_bytes: by how much the heap in use differs after 100,000 messages to a module,
    1,000 reconnects and 200 failing evals in one boot; or after 50 updates; the larger of the two.
    """
    work = _WORK_QUICK if rig.quick else _WORK
    firmware = rig.firmware()
    image = Image.load(firmware.app)
    with soaking(rig.folder, firmware.flash, rig.table, rig.broker.port) as soak:
        growth = soak.run(work, (image, image.renamed("soak.2")), rig.progress)
    return {
        "heap_growth_bytes": Figure(growth.worst, "B", 1, aim=1024),
        "messages": Figure(work.messages, "messages", 1),
        "reconnects": Figure(work.reconnects, "reconnects", 1),
        "failing_evals": Figure(work.evals, "evals", 1),
        "updates": Figure(work.updates, "updates", 1),
    }
