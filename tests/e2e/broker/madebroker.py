"""Runs a mosquitto on a folder that mqboard broker-config made, and boards and operators with what
it made for them."""

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from waiting import wait_until

from mqhost.broker.access import Access
from mqhost.broker.configure import configure
from mqhost.broker.report import Wish
from mqhost.link.boardconfig import Wish as BoardWish
from mqhost.link.connection import tls_context
from mqhost.link.session import Session
from mqhost.link.settings import Settings
from mqhost.sim.broker import HOST, find_mosquitto, free_port
from mqhost.sim.device import Device
from mqhost.sim.filesystem import provision_flash
from mqhost.usb.provision import Provision

BOOT = 60.0  # seconds a board may take to be there on a slow, noisy machine
_BIN = Path(sys.executable).parent
COMMON = {
    "networks": [{"ssid": "simnet", "password": "simpassword"}],
    "update": {"health_s": 0.5, "confirm_s": 60},
    "ntp": "",
}
_ATTEMPTS = 3
_numbers = itertools.count()


class MadeBroker:
    """A folder that was made for the users in `text`, and while the `with` block runs a mosquitto
    on it. Their broker is on this machine, which they call `host`."""

    def __init__(self, folder: Path, text: str, host: str = "localhost") -> None:
        self.folder = folder / "mq"
        self.ports: list[int] = []
        self.text = text
        self._host = host
        (folder / "data").mkdir()
        (folder / "common.json").write_text(json.dumps(COMMON))
        self._log = folder / "mosquitto.log"
        self._log.touch()
        self._process: subprocess.Popen[bytes] | None = None
        self._devices: list[Device] = []

    def _head(self):
        """Return the file's [broker]."""
        port, password_port, websocket_port, psk_port = self.ports
        head = {
            "host": self._host,
            "bind": HOST,
            "port": port,
            "password_port": password_port,
            "websocket_port": websocket_port,
            "psk_port": psk_port,
            "data": str(self.folder.parent / "data"),
            "board_config": "common.json",
            # As root mosquitto would change to a user who may not read our temporary folder.
            "extra": ["log_type debug", *(["user root"] if os.geteuid() == 0 else [])],
        }
        lines = [f"{key} = {json.dumps(value)}" for key, value in head.items()]
        return "\n".join(["[broker]", *lines]) + "\n"

    def configure(self, text: str | None = None, **wish):
        """Bring the folder to what `text` says, or the same text as before; return the report."""
        self.text = self.text if text is None else text
        where = self.folder.parent
        access = Access.parse(self._head() + self.text, "users.toml", folder=where)
        return configure(self.folder, access, "users.toml", Wish(**wish))

    def __enter__(self):
        for attempt in range(_ATTEMPTS):
            self.ports = [free_port() for _ in range(4)]
            self.configure()
            try:
                self.start()
                break
            except AssertionError:  # somebody else was faster with one of the ports
                if attempt == _ATTEMPTS - 1:
                    raise
        return self

    def __exit__(self, *_):
        for device in self._devices:
            device.stop()
        self.stop()

    def start(self):
        conf = self.folder / "mosquitto/mosquitto.conf"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([find_mosquitto(), "-c", conf], stderr=log)
        ended = self._process.poll
        used = self.ports if '"psk"' in self.text else self.ports[:-1]
        try:
            wait_until(lambda: ended() is not None or all(map(_listens, used)), otherwise=self.log)
            assert ended() is None, self.log()
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise

    def stop(self):
        self._process.terminate()
        self._process.wait(10)

    def reload(self):
        """Have it read its files again; returns when it has."""
        before = self.log().count("Reloading config")
        self._process.send_signal(signal.SIGHUP)
        wait_until(lambda: self.log().count("Reloading config") > before, otherwise=self.log)

    def log(self):
        return self._log.read_text(errors="replace")

    def boot(self, sim, firmware, name, prefix):
        """Start a simulated board, provisioned with what was made for the board `name`; return it
        when it is online. An operator `repl` must be able to see it."""
        own = self.folder / "boards" / name
        files = {key: own / f"{key}.pem" for key in ("ca", "cert", "key")}
        files = {key: path for key, path in files.items() if path.exists()}
        what = Provision.make(
            BoardWish(),
            config=own / "config.json",
            secret=lambda question, variable: "",
            **files,
        )
        table = sim.table
        path = self.folder.parent / f"{name}.flash"
        provision_flash(path, firmware.flash, table, what.config, files=what.files)
        device = Device(path, table=table, name=name)
        self._devices.append(device)
        device.start()
        with self.session("repl", prefix) as session:
            online = session.wait_status(lambda status: status["state"] == "online", BOOT)
            assert online, device.console.tail() + self.log()
        return device

    def settings(self, operator, **more):
        """Return the settings that mqboard finds in the operator's folder."""
        folder = self.folder / "operators" / operator
        return Settings.resolve(more, environment={}, folder=folder)

    def session(self, operator, prefix):
        """Return a session of the operator with the board at `prefix`."""
        return Session(self.settings(operator, prefix=prefix, timeout=30.0))

    def start_mqboard(self, operator, *arguments):
        """Start mqboard as that operator, in their folder; return the process."""
        environment = {key: value for key, value in os.environ.items() if "MQBOARD" not in key}
        return subprocess.Popen(
            [_BIN / "mqboard", *map(str, arguments)],
            cwd=self.folder / "operators" / operator,
            env=environment | {"COLUMNS": "200"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def mqboard(self, operator, *arguments, timeout=120):
        """Run mqboard as that operator to its end; returns (exit code, stdout, stderr)."""
        process = self.start_mqboard(operator, *arguments)
        try:
            out, err = process.communicate(timeout=timeout)
        finally:
            process.kill()
        return process.returncode, out, err

    def keep(self, settings):
        """Return `settings` with copies of their files, which stay when those are made anew."""
        kept = {}
        for key in ("ca", "cert", "key"):
            if path := getattr(settings, key):
                copy = self.folder.parent / f"kept-{next(_numbers)}.pem"
                copy.write_bytes(Path(path).read_bytes())
                kept[key] = str(copy)
        return replace(settings, **kept)

    def connect(self, settings, username=None):
        """Return a client with such credentials, which may be refused."""
        return Client(settings, username)

    def client(self, user):
        """Return a connected client with the credentials of `user`, a board or an operator."""
        return Client(self.credentials(user))

    def credentials(self, user):
        """Return the settings of a board or an operator."""
        if (self.folder / "operators" / user).exists():
            return self.settings(user)
        own = self.folder / "boards" / user
        broker = json.loads((own / "config.json").read_text())["broker"]
        pair = {}
        if "cert" in broker:
            pair = {"cert": str(own / "cert.pem"), "key": str(own / "key.pem")}
        return Settings(
            server=broker["host"],
            port=broker["port"],
            tls=True,
            ca=str(own / "ca.pem"),
            username=broker.get("user", ""),
            password=broker.get("password", ""),
            **pair,
        )


class Client:
    """An MQTT client with some credentials that tries whatever it likes; `heard`: the messages."""

    def __init__(self, settings, username=None):
        self.heard = []
        self.connected = []  # reasons, one each time it is connected or refused
        self.lost = []
        self._answered = set()
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        if username or settings.username:
            self._client.username_pw_set(username or settings.username, settings.password or None)
        self._client.tls_set_context(tls_context(settings))
        self._client.on_connect = lambda *args: self.connected.append(args[3])
        self._client.on_disconnect = lambda *args: self.lost.append(args[3])
        self._client.on_subscribe = lambda *args: self._answered.add(args[2])
        self._client.on_message = lambda *args: self.heard.append(
            (args[2].topic, bytes(args[2].payload))
        )
        self._client.connect(settings.server, settings.port)
        self._client.loop_start()

    def __enter__(self):
        wait_until(lambda: self.connected or self.lost)
        assert self.connected and not self.connected[0].is_failure, (self.connected, self.lost)
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._client.disconnect()
        self._client.loop_stop()

    def is_refused(self):
        """Wait until it is clear whether the broker lets it in; return whether it does not."""
        wait_until(lambda: self.connected or self.lost)
        refused = not self.connected or self.connected[0].is_failure
        self.close()
        return refused

    def subscribe(self, *filters):
        """Subscribe and wait for the broker's answer, which is yes."""
        _, mid = self._client.subscribe([(one, 1) for one in filters])
        wait_until(lambda: mid in self._answered)

    def publish(self, topic, payload=b"x", retain=False):
        """Publish and wait for the broker's acknowledgement, which is no promise."""
        message = self._client.publish(topic, payload, 1, retain)
        message.wait_for_publish(10)
        assert message.is_published()

    def topics(self):
        return {topic for topic, _ in self.heard}


def _listens(port):
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == 0
