"""Runs a real PostgreSQL on a free port of the loopback, in a temporary folder, for tests and
benchmarks.
"""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from glob import glob
from pathlib import Path

import psycopg

from mqhost.packages import POSTGRES
from mqhost.sim.broker import free_port

USER, PASSWORD = "mqboard", "a secret"
_START_S = 60.0


class Postgres:
    """A server that runs while the `with` block does. PostgreSQL refuses to run as root: then it
    runs as the user that its package has made.
    """

    def __init__(self):
        programs = sorted(glob(f"{POSTGRES}/postgres"))
        assert programs, "PostgreSQL is missing: apt-get install postgresql"
        self._bin = Path(programs[-1]).parent
        self._folder = Path(tempfile.mkdtemp(prefix="mqboard-postgres-"))
        self._as = {}
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            self._as = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
            os.chown(self._folder, user.pw_uid, user.pw_gid)
        self._server = None
        self.port = 0

    def __enter__(self):
        data, password = self._folder / "data", self._folder / "password"
        password.write_text(PASSWORD)
        self._run("initdb", "-D", data, "-U", USER, "--pwfile", password, "-A", "scram-sha-256")
        self.port = free_port()
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self._folder)

    def start(self):
        settings = [f"port={self.port}", "listen_addresses=127.0.0.1", "fsync=off"]
        settings += [f"unix_socket_directories={self._folder}", "max_connections=50"]
        argv = [self._bin / "postgres", "-D", self._folder / "data"]
        for setting in settings:
            argv += ["-c", setting]
        log = (self._folder / "log").open("wb")
        self._server = subprocess.Popen(
            argv, cwd=self._folder, stdout=log, stderr=subprocess.STDOUT, **self._as
        )
        log.close()
        deadline = time.monotonic() + _START_S
        while not self._answers():
            assert time.monotonic() < deadline, (self._folder / "log").read_text()
            time.sleep(0.05)

    def stop(self):
        self._server.send_signal(signal.SIGINT)  # a fast shutdown, whoever is connected
        self._server.wait(60)

    def url(self, database):
        return (
            f"postgresql://{USER}:{PASSWORD.replace(' ', '%20')}@127.0.0.1:{self.port}/{database}"
        )

    def database(self, name):
        """Make an empty database; return its URL."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def _answers(self):
        assert self._server.poll() is None, (self._folder / "log").read_text()
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(self.url("postgres")).close()
            return True
        return False

    def _run(self, program, *arguments):
        subprocess.run(
            [self._bin / program, *arguments],
            check=True, capture_output=True, cwd=self._folder, **self._as,
        )  # fmt: skip
