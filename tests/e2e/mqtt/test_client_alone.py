"""Tests MicroPython with manifest/client.py: the bench's programs, docs/client.md's examples."""

import re

import pytest
from hostclient import HostClient

from ci.bench.mqtt.lab import OURS, RAW, Lab
from ci.bench.rig import Rig
from ci.chaos.spread import busiest, histogram, reconnects
from mqhost.paths import ROOT
from mqhost.progress import silent

BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "client.md").read_text(), re.S)


@pytest.fixture(scope="module")
def lab():
    with Rig(True, silent) as rig, Lab(rig) as lab:
        yield lab


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("kind", ["rx0", "rx1", "pub0", "pub1", "window8"])
def test_both_clients_do_the_work_that_is_measured(lab, kind, secure):
    for program in (RAW, OURS):
        assert lab.seconds(program, secure, kind, 1024, 200) > 0


def test_a_message_to_a_plain_handler_allocates_next_to_nothing(lab):
    assert lab.allocated(0, 1024) <= 64


def test_a_hundred_clients_do_not_come_back_at_once(lab):
    herd = reconnects(lab, 100, outage=2.0)
    told = "\n".join(histogram(herd, 0.2))
    assert busiest(herd, 0.1) < 40 and herd[-1] < 10, told


def test_the_client_has_a_heap_and_nothing_of_ours_is_frozen_beside_it(lab):
    alone, connected = lab.heap()
    assert 0 < alone < connected
    names = {module.path for module in lab.firmware.modules}
    # asyncio says itself under which names it is known.
    others = {name for name in names if not name.startswith(("asyncio/", "mqboard/", "uasyncio"))}
    assert others == {"mqbuild.py"}
    assert not names & {"mqboard/board.py", "mqboard/update/receiver.py", "mqboard/router.py"}


@pytest.fixture
def desk(broker):
    with HostClient(broker.port, "shed/#") as made:
        yield made


def example(text, broker, tmp_path):
    """Return a program of the document, for the broker that there is."""
    file = tmp_path / "example.py"
    file.write_text(text.replace('"broker.example", 1883', f'"{broker.host}", {broker.port}'))
    return file


def test_the_documents_first_example_runs(lab, broker, desk, tmp_path):
    (text,) = [block for block in BLOCKS if "asyncio.run(main())" in block]
    with lab.program(example(text, broker, tmp_path)) as process:
        desk.wait_payload("shed/state", b"online")
        desk.wait_payload("shed/temperature", b"21.5")
        desk.publish("shed/lamp/door", b"on")
        assert process.stdout.readline() == "shed/lamp/door switches on\n"
        process.kill()
        desk.wait_payload("shed/state", b"offline")


def test_the_documents_window_and_loop_run(lab, broker, desk, tmp_path):
    (functions,) = [block for block in BLOCKS if "async def send_all" in block]
    text = (
        "import asyncio\nfrom mqboard.mqtt import Client\nfrom mqboard.net import opener\n"
        + functions
        + """
async def main():
    async with Client(opener(None, "broker.example", 1883), "shed") as client:
        asyncio.create_task(follow(client))
        await send_all(client, [b"%d" % number for number in range(30)])
        while True:
            await client.publish("shed/ready")
            await asyncio.sleep(0.1)


asyncio.run(main())
"""
    )
    with lab.program(example(text, broker, tmp_path)) as process:
        # The broker lets "ready" overtake readings that the desk has not acknowledged yet.
        desk.wait("shed/ready")
        assert desk.wait("shed/readings", 30) == [b"%d" % number for number in range(30)]
        desk.publish("shed/orders/1", b"dig", retain=True)
        assert process.stdout.readline() == "shed/orders/1 b'dig'\n"
        desk.publish("shed/orders/1", b"", retain=True)
