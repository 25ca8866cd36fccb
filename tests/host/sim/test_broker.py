"""Tests the private broker: it starts, says why it cannot, and leaves nothing behind."""

import os
import signal
import socket
import threading

import pytest
from paho.mqtt import publish, subscribe

from mqhost.errors import BrokerError
from mqhost.sim import broker as broker_module
from mqhost.sim.broker import Broker, configuration, find_mosquitto, free_port, run_foreground


def test_it_carries_messages_and_ends_with_the_block():
    with Broker() as broker:
        publish.single("a/b", b"x", hostname=broker.host, port=broker.port, qos=1, retain=True)
        assert subscribe.simple("a/b", hostname=broker.host, port=broker.port).payload == b"x"
        pid = broker._process.pid
    assert not broker.running
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_two_run_side_by_side():
    with Broker() as one, Broker() as two:
        assert one.port != two.port


def test_it_listens_on_loopback_only():
    assert f"listener 4711 {broker_module.HOST}" in configuration(4711)


def test_a_port_in_use_is_named():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(BrokerError, match=f"Port {port} .* choose another port"):
            Broker(port).start()


def test_restart_keeps_the_port_and_with_a_folder_what_is_retained(tmp_path):
    with Broker(free_port(), persistence=tmp_path) as broker:
        port = broker.port
        publish.single("a", b"kept", hostname=broker.host, port=port, qos=1, retain=True)
        broker.restart()
        assert broker.port == port
        assert subscribe.simple("a", hostname=broker.host, port=port).payload == b"kept"


def test_a_broken_configuration_shows_the_log():
    broker = Broker(extra=["nonsense true"])
    with pytest.raises(BrokerError, match="(?s)ended .*nonsense"):
        broker.start()
    assert not broker.running


def test_a_missing_mosquitto_names_the_package(monkeypatch):
    monkeypatch.setattr(broker_module.shutil, "which", lambda *_, **__: None)
    with pytest.raises(BrokerError, match="apt-get install mosquitto"):
        find_mosquitto()


def test_mosquitto_is_found_outside_of_the_path(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    assert find_mosquitto().endswith("mosquitto")


def test_the_log_reaches_the_callback():
    lines = []
    with Broker(log=lines.append):
        pass
    assert any("starting" in line for line in lines)


def test_in_the_foreground_its_death_is_an_error(monkeypatch):
    started = threading.Event()
    brokers = []

    def say(line):
        if "Ctrl-C" in line:
            started.set()

    def remember(self):
        brokers.append(self)
        return Broker.start(self) or self

    def kill():
        assert started.wait(10)
        os.kill(brokers[0]._process.pid, signal.SIGKILL)

    monkeypatch.setattr(Broker, "__enter__", remember)
    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(BrokerError, match="ended with status -9"):
        run_foreground(free_port(), say)
    killer.join()
