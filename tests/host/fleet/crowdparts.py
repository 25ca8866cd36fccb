"""Runs crowds of boards in a thread, for the tests of what they do."""

import asyncio
import random
import threading

from pushing import offer_for
from waiting import wait_until

from mqhost.fleet.crowd.board import Kind
from mqhost.fleet.crowd.crowd import Crowd, Plan
from mqhost.fleet.crowd.decode import made_up
from mqhost.fleet.crowd.faults import Rates
from mqhost.fleet.rollout.options import Share
from mqhost.link.session import Session
from mqhost.link.settings import Settings
from mqhost.update.push import push

BASE = random.Random(1).randbytes(30_000) + bytes(40_000)
APP = BASE[:9_000] + b"a line more" + BASE[9_000:]
SIM = (Kind("sim", "esp32", made_up("sim")),)


class Running:
    """A crowd in a thread, while the `with` block runs."""

    def __init__(self, broker, prefix, boards=1, kinds=SIM, fail=(), old="0", **world):
        self.settings = Settings(server=broker.host, port=broker.port, prefix=f"{prefix}/1")
        plan = Plan(
            boards,
            f"{prefix}/{{n}}",
            kinds,
            Rates.parse(fail),
            rate=1000,
            old=Share.parse(old, "--old"),
        )
        self.crowd = Crowd(
            self.settings, plan, **{"restart_s": 0.1, "health_s": 0.1, "away_s": 0.3} | world
        )
        self.record = {}
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    async def _run(self):
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self.record = await self.crowd.run(self._stop, lambda crowd: None, 1, 0)

    def __enter__(self):
        self._thread.start()
        wait_until(lambda: self.crowd.online == len(self.crowd.boards), 30)
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)

    @property
    def figures(self):
        return self.crowd.world.figures

    def session(self, timeout=5):
        return Session(self.settings.for_one(self.crowd.prefixes[0]))


def push_to(running, offer=None, app=APP, **options):
    with running.session() as session:
        return push(session, offer or offer_for(app), app, patience=20, **options)
