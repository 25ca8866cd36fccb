"""Runs amqtt's broker as a process of its own, for a second opinion beside mosquitto's.

python amqtt_broker.py PORT    runs it until the end of stdin
"""

import asyncio
import subprocess
import sys

from mqhost.sim.broker import free_port

_ANONYMOUS = "amqtt.plugins.authentication.AnonymousAuthPlugin"


class AmqttBroker:
    """Listens on a free loopback `port` while the `with` block runs."""

    def __enter__(self):
        self.port = free_port()
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(self.port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout.readline() == "ready\n"
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.communicate()


async def main(port):
    from amqtt.broker import Broker

    listener = {"type": "tcp", "bind": f"127.0.0.1:{port}"}
    plugins = {_ANONYMOUS: {"allow_anonymous": True}}
    broker = Broker({"listeners": {"default": listener}, "plugins": plugins})
    await broker.start()
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
