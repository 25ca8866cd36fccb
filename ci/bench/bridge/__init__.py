"""Measures the bridge: messages at QoS 1 each way, over a good wire and over a bad one."""

import json
import subprocess
import threading
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho

from ci.bench import Figure, median
from ci.bench.raw import extract
from ci.bench.rig import PREFIX, Rig
from mqhost.build.sources.source import planned_source
from mqhost.errors import ToolError
from mqhost.paths import FROZEN
from mqhost.sim.device import HEAP
from mqhost.sim.wire import Wire

TARGET = Path(__file__).with_name("target.py")
_MESSAGES, _MESSAGES_QUICK = 10_000, 500
_SPEED_MESSAGES, _RUNS = 2_000, 3
_BAD = 0.0002  # the chance of a byte to be lost, and to be turned
_AHEAD = 500  # what a broker keeps for somebody slow has limits
_LONGEST = 900.0
_STUCK = 60.0


def measure(rig: Rig) -> dict[str, Figure]:
    """lost, doubled: of 10,000 messages each way, while one byte in 2,500 is lost or turned;
    repeated: frames that were sent again for that. msgs_per_s: both ways together, over a good
    wire without a limit of speed. target_heap_bytes: what the target has in use, driver and all.
    """
    count = _MESSAGES_QUICK if rig.quick else _MESSAGES
    with Wire(seed=1) as wire, rig.board(uart=wire.ends[0]):
        runs = [exchange(rig, wire, _SPEED_MESSAGES) for _ in range(1 if rig.quick else _RUNS)]
        wire.loss = wire.turn = _BAD
        bad = exchange(rig, wire, count)
    if not wire.lost or not wire.turned:
        raise ToolError("The bad wire was a good one: nothing is said of lost messages.")
    speeds = [2000 * _SPEED_MESSAGES / run["ms"] for run in runs]
    return {
        "lost": Figure(bad["lost"], "messages", 2 * count, aim=0, part=rig.quick),
        "doubled": Figure(bad["doubled"], "messages", 2 * count, aim=0, part=rig.quick),
        "repeated": Figure(bad["repeated"], "frames", 2 * count),
        "msgs_per_s": Figure(round(median(speeds)), "1/s", len(speeds)),
        "target_heap_bytes": Figure(median([run["heap_bytes"] for run in runs]), "B", len(runs)),
    }


def exchange(rig: Rig, wire: Wire, count: int) -> dict[str, Any]:
    """Send `count` messages each way; return what the target tells, with what we saw added."""
    root = f"{PREFIX}/target"
    came: list[int] = []
    taken = threading.Semaphore(_AHEAD)

    def on_message(client: paho.Client, data: Any, message: paho.MQTTMessage) -> None:
        if message.topic.endswith("/up"):
            came.append(int(message.payload))
        else:
            for _ in range(100):
                taken.release()

    source = planned_source(rig.definition).path
    executable = extract(rig.firmware().app, rig.folder)
    client = paho.Client(paho.CallbackAPIVersion.VERSION2)
    client.on_message = on_message
    client.connect(rig.broker.host, rig.broker.port)
    client.subscribe([(f"{root}/up", 1), (f"{root}/taken", 1)])
    client.loop_start()
    command = [executable, "-X", f"heapsize={HEAP}", TARGET, wire.ends[1], count]
    target = subprocess.Popen(
        list(map(str, command)),
        # Without .frozen: ordinary MicroPython, with its asyncio and the driver.
        env={"MICROPYPATH": f"{source / 'extmod'}:{FROZEN / 'bridge'}"},
        stdout=subprocess.PIPE,
        text=True,
    )
    late = threading.Timer(_LONGEST, target.kill)
    late.start()
    try:
        assert target.stdout
        rest = target.stdout.readline()
        for number in range(count if rest == "ready\n" else 0):
            if not taken.acquire(timeout=_STUCK):
                break
            client.publish(f"{root}/down", b"%d" % number, 1)
        rest += target.stdout.read()
    finally:
        late.cancel()
        target.kill()
        target.wait()
        client.disconnect()
        client.loop_stop()
    try:
        told = json.loads(rest.removeprefix("ready\n"))
    except ValueError as error:
        raise ToolError(f"The target ended with: {rest[-500:]}") from error
    told["lost"] += count - len(set(came))
    told["doubled"] += len(came) - len(set(came))
    return dict(told)
