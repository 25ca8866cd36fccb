"""Runs RabbitMQ with its MQTT plugin: one node, or several that make a cluster.

Settings: https://www.rabbitmq.com/docs/configure and /docs/mqtt, of version 3.10. Each node has
its own folder; the nodes find each other by an epmd of their own, on a free port.

Before 3.12 a clean session's subscriptions are a durable queue, at home on the node that the client
was connected to: while that one is down, no other node lets the same client subscribe. So a policy
has each of these queues mirrored on a second node, which goes on with it (/docs/3.10/ha).
"""

import contextlib
import json
import secrets
import shutil
import tempfile
from pathlib import Path

from ci.cluster.process import Process, find
from mqhost.sim.broker import HOST, accepts, free_port

_PROGRAMS = "/usr/lib/rabbitmq/bin"  # without the wrapper, which wants to be another user
_START_S = 120.0
_CONF = """\
listeners.tcp.1 = {host}:{amqp}
mqtt.listeners.tcp.1 = {host}:{mqtt}
mqtt.allow_anonymous = true
mqtt.durable_queue_type = quorum
mqtt.tcp_listen_options.nodelay = true
mqtt.tcp_listen_options.backlog = 4096
loopback_users.guest = true
vm_memory_high_watermark.relative = 0.6
disk_free_limit.absolute = 50MB
log.console = true
log.console.level = warning
load_definitions = {definitions}
cluster_formation.peer_discovery_backend = classic_config
"""
_MIRRORED = {
    "vhost": "/",
    "name": "mqtt-subscriptions",
    "pattern": "^mqtt-subscription-",
    "apply-to": "queues",
    "definition": {"ha-mode": "exactly", "ha-params": 2, "ha-sync-mode": "automatic"},
    "priority": 0,
}
_DEFINITIONS = {
    "vhosts": [{"name": "/"}],
    "users": [{"name": "guest", "password": "guest", "tags": "administrator"}],
    "permissions": [
        {"user": "guest", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}
    ],
    "policies": [_MIRRORED],
}
_PEER = "cluster_formation.classic_config.nodes.{number} = {name}\n"


class Node:
    """One node, which listens for MQTT on `port`."""

    def __init__(self, cluster: "Cluster", number: int, conf: str = "") -> None:
        self.name = f"mqb{number}-{cluster.mark}@localhost"
        self.port = free_port()
        self._amqp, self._distribution = free_port(), free_port()
        self._cluster = cluster
        self._folder = cluster.folder / str(number)
        self._folder.mkdir()
        self._conf = conf
        self._process: Process | None = None

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process
        return self._process.pid

    def start(self, wait: bool = True) -> None:
        """Start it, and wait until it accepts connections over MQTT."""
        peers = enumerate(self._cluster.names, 1)
        definitions = self._folder / "definitions.json"
        definitions.write_text(json.dumps(_DEFINITIONS))
        text = _CONF.format(host=HOST, amqp=self._amqp, mqtt=self.port, definitions=definitions)
        text += self._conf
        text += "".join(_PEER.format(number=number, name=name) for number, name in peers)
        (self._folder / "rabbitmq.conf").write_text(text)
        (self._folder / "plugins").write_text("[rabbitmq_mqtt].\n")
        program = find("rabbitmq-server", "rabbitmq-server", _PROGRAMS)
        self._process = Process([program], self._folder, self._environment)
        if wait:
            self.wait()

    def wait(self) -> None:
        """Wait until it accepts connections over MQTT."""
        assert self._process
        self._process.wait(lambda: accepts(self.port), _START_S)

    def stop(self, hard: bool = False) -> None:
        """Stop it; `hard`: as a power cut does."""
        if self._process:
            self._process.stop(hard)
            self._process = None

    @property
    def _environment(self) -> dict[str, str]:
        folder = self._folder
        return {
            "HOME": str(self._cluster.folder),  # where the cookie is
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_NODE_IP_ADDRESS": "",
            "RABBITMQ_NODE_PORT": "",
            "RABBITMQ_DIST_PORT": str(self._distribution),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "none"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 +sbwt none +sbwtdcpu none",
            "ERL_EPMD_PORT": str(self._cluster.epmd_port),
            "ERL_EPMD_ADDRESS": HOST,
        }


class Cluster:
    """So many `nodes`, which run while the `with` block does. `conf`: more lines of settings."""

    def __init__(self, nodes: int = 3, conf: str = "") -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="mqboard-rabbitmq-"))
        self.mark = secrets.token_hex(3)
        self.epmd_port = free_port()
        cookie = self.folder / ".erlang.cookie"
        cookie.write_text(secrets.token_hex(16))
        cookie.chmod(0o400)
        self.nodes = [Node(self, number, conf) for number in range(1, nodes + 1)]
        self.names = [node.name for node in self.nodes]
        self._stack = contextlib.ExitStack()
        self._stack.callback(shutil.rmtree, self.folder, ignore_errors=True)

    def __enter__(self) -> "Cluster":
        with self._stack:
            epmd = find("epmd", "erlang-base")
            argv = [epmd, "-port", str(self.epmd_port), "-address", HOST]
            process = Process(argv, self.folder)
            self._stack.callback(process.stop)
            first, *others = self.nodes
            for node in self.nodes:
                self._stack.callback(node.stop, hard=True)
            first.start()
            for node in others:
                node.start(wait=False)
            for node in others:
                node.wait()
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
