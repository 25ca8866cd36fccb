"""Publishes and takes numbered messages, for agent.py."""

import asyncio


class Numbers:
    """Takes numbered messages; `first` has the numbers in the order of their first occurrence."""

    def __init__(self, total):
        self.highest = -1
        self.arrived = self.unordered = self.repeated = 0
        self._seen = bytearray(total)

    def take(self, topic, payload, retained):
        number = int(bytes(payload))
        if self._seen[number]:
            self.repeated += 1
            return
        self._seen[number] = 1
        self.arrived += 1
        self.unordered += number < self.highest
        self.highest = max(self.highest, number)


async def publish_awaited(client, topic, start, stop, qos):
    """Publish one message after the other."""
    for number in range(start, stop):
        await client.publish(topic, b"%d" % number, qos=qos)


async def publish_pipelined(client, topic, start, stop, qos):
    """Publish up to eight messages at a time."""
    async with client.window(8) as window:
        for number in range(start, stop):
            await window.publish(topic, b"%d" % number, qos=qos)


async def publish_from_tasks(client, topic, start, stop, qos):
    """Publish from four tasks, each with a topic of its own: topic/0 to topic/3."""
    tasks = [
        asyncio.create_task(publish_awaited(client, topic + "/" + str(n), start, stop, qos))
        for n in range(4)
    ]
    await asyncio.gather(*tasks)
