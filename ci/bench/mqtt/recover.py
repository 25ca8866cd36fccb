"""Measures how soon our client is back when its broker or its network is, and what is lost.

Two boards, one with a session and one without, are connected through a proxy to a broker that
keeps sessions on disk. A desk, connected directly, sends each of them a numbered message every
20 ms at QoS 1, and they send theirs. Then the broker is restarted; or the proxy cuts all
connections and refuses new ones for five seconds. A board is back when the first message arrives at
it that the desk published after the broker, or the way to it, was there again: its subscription
works.

Lost is what was acknowledged to be kept and never arrived: what the broker acknowledged to the desk
for the board with a session, and to either board for the desk, which has a session, too.
"""

import contextlib
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import paho.mqtt.client as paho

from ci.bench.mqtt.lab import Lab
from ci.proxies.faultproxy import FaultProxy
from mqhost.sim.broker import Broker

_AGENT = Path(__file__).with_name("agent.py")
_NAMES = _KEEPS, _FORGETS = "keeps", "forgets"  # a session
_CUT_SECONDS = 5.0
_PATIENCE = 60.0
_INTERVAL = 0.02  # between the desk's messages
_SETTLE = 10  # messages each way before something is broken
# Sessions: "all that is acknowledged is kept" is the broker's part.
_KEEPING = ("max_queued_messages 0", "max_inflight_messages 100")


@dataclass
class Recovery:
    """Seconds, one for each run, with a session and without; `lost` messages of all that were
    `kept`."""

    restart: dict[bool, list[float]] = field(default_factory=lambda: {True: [], False: []})
    cut: dict[bool, list[float]] = field(default_factory=lambda: {True: [], False: []})
    kept: int = 0
    lost: int = 0


class Agent:
    """A client on MicroPython: what it received (number → time) and what was acknowledged to it."""

    def __init__(self, name: str, session: bool, process: "subprocess.Popen[str]") -> None:
        self.name, self.session = name, session
        self.arrived: dict[int, float] = {}
        self.acked: set[int] = set()
        self._lines = process.stdout
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self._lines or ():
            kind, number = line.split()
            if kind == "in":
                self.arrived.setdefault(int(number), time.monotonic())
            else:
                self.acked.add(int(number))


class Desk:
    """Hears the agents, and once it serves them publishes to them all the time."""

    def __init__(self, port: int) -> None:
        self.number = 0
        self.heard: dict[str, set[int]] = {name: set() for name in _NAMES}
        # By paho's number. What is acknowledged may be so before publish() says its number, and a
        # lock would wait for paho's own.
        self._sent: dict[int, tuple[str, int]] = {}
        self._confirmed: set[int] = set()
        self._stopping = threading.Event()
        self._client = paho.Client(
            paho.CallbackAPIVersion.VERSION2, client_id="desk", clean_session=False
        )
        self._client.reconnect_delay_set(0.05, 0.05)  # type: ignore[arg-type]
        subscribed = threading.Event()
        self._client.on_connect = lambda client, *_: client.subscribe("out/#", qos=1)
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.on_message = self._hear
        self._client.on_publish = lambda _, __, mid, *rest: self._confirmed.add(mid)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert subscribed.wait(_PATIENCE)
        self._thread = threading.Thread(target=self._publish, daemon=True)

    def serve(self) -> None:
        """Begin to publish."""
        self._thread.start()

    def acked(self, name: str) -> set[int]:
        """Return the numbers of the messages for `name` that the broker has acknowledged."""
        sent = [self._sent.get(mid) for mid in list(self._confirmed)]
        return {message[1] for message in sent if message and message[0] == name}

    def quiet(self) -> None:
        """Publish nothing more."""
        self._stopping.set()
        self._thread.join()

    def close(self) -> None:
        """Leave."""
        self._stopping.set()
        self._client.disconnect()
        self._client.loop_stop()

    def _publish(self) -> None:
        while not self._stopping.wait(_INTERVAL):
            self.number += 1
            for name in _NAMES:
                info = self._client.publish(f"in/{name}", str(self.number), qos=1)
                self._sent[info.mid] = name, self.number

    def _hear(self, client, userdata, message) -> None:
        self.heard[message.topic[len("out/") :]].add(int(message.payload))


def recover(
    lab: Lab, runs: int, progress: Callable[[str, int, int], None], version: int = 4
) -> Recovery:
    """Break and mend `runs` times, both ways; `version` 5: the boards speak MQTT 5."""
    result = Recovery()
    persistence = lab.folder / "broker"
    persistence.mkdir()
    with Broker(persistence=persistence, extra=_KEEPING) as broker, contextlib.ExitStack() as stack:
        proxy = stack.enter_context(FaultProxy(broker.port))
        desk = Desk(broker.port)
        stack.callback(desk.close)
        agents = [stack.enter_context(_agent(lab, proxy.port, name, version)) for name in _NAMES]
        _wait(lambda: all(agent.acked for agent in agents))  # so they are subscribed
        desk.serve()
        for done in range(runs):
            progress("measuring mqtt: back after a restart", done, runs)
            _settle(agents)
            broker.restart()
            _wait_back(desk, agents, result.restart)
            progress(f"measuring mqtt: back after {_CUT_SECONDS:.0f} s", done, runs)
            _settle(agents)
            proxy.refuse()
            time.sleep(_CUT_SECONDS)
            proxy.refuse(False)
            _wait_back(desk, agents, result.cut)
        desk.quiet()
        with contextlib.suppress(AssertionError):
            _wait(lambda: not _lost(desk, agents), 10)
        result.lost = _lost(desk, agents)
        result.kept = sum(len(agent.acked) for agent in agents) + len(desk.acked(_KEEPS))
    return result


@contextlib.contextmanager
def _agent(lab: Lab, port: int, name: str, version: int) -> Iterator[Agent]:
    session = name == _KEEPS
    with lab.program(_AGENT, port, name, 0 if session else 1, version) as process:
        yield Agent(name, session, process)


def _settle(agents: list[Agent]) -> None:
    """Wait until messages flow, both ways and to all."""
    for agent in agents:
        arrived, acked = len(agent.arrived) + _SETTLE, len(agent.acked) + _SETTLE
        _wait(lambda a=agent, n=arrived, m=acked: len(a.arrived) >= n and len(a.acked) >= m)


def _wait_back(desk: Desk, agents: list[Agent], seconds: dict[bool, list[float]]) -> None:
    """Note how long each agent takes from now on until it gets a message published from now on."""
    mended, last = time.monotonic(), desk.number
    for agent in agents:
        _wait(lambda a=agent: any(number > last for number in list(a.arrived)))
        times = [when for number, when in list(agent.arrived.items()) if number > last]
        seconds[agent.session].append(max(0.0, min(times) - mended))


def _lost(desk: Desk, agents: list[Agent]) -> int:
    """Return how many messages that were acknowledged to be kept did not arrive (yet)."""
    lost = sum(len(set(agent.acked) - set(desk.heard[agent.name])) for agent in agents)
    return lost + sum(
        len(desk.acked(agent.name) - set(agent.arrived)) for agent in agents if agent.session
    )


def _wait(condition: Callable[[], object], seconds: float = _PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the boards and the desk wait for a message in vain"
        time.sleep(0.005)
