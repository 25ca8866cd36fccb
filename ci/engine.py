"""Provides a container engine to test and measure with: the one that runs, or a new one.

`engine()` gives an Engine while its `with` block runs, with a base image for the simulated board.
Where no registry is reachable the base image is made by debootstrap from the Debian archive that
this machine uses; its tar file stays in the cache folder.
"""

import contextlib
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import docker

from mqhost import packages
from mqhost.build import board as boards
from mqhost.build.builders.docker_engine import LABEL, EngineError, connect
from mqhost.build.builders.docker_image import Recipe
from mqhost.build.sources.source import mirrors
from mqhost.errors import ToolError
from mqhost.locks import locked
from mqhost.paths import cache_dir
from mqhost.progress import Progress, silent

_VARIABLE = "DOCKER_HOST"
_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
_START_SECONDS = 60
_STOP_SECONDS = 30
_TAIL = 2000
_BRIDGE = "docker0"


@dataclass(frozen=True)
class Engine:
    """A running engine, and the name of a base image that it has."""

    client: docker.DockerClient
    base: str


@contextlib.contextmanager
def engine(progress: Progress = silent) -> Iterator[Engine]:
    """Give an engine, which DOCKER_HOST points to in the `with` block; ToolError if there is none
    and none can be started.
    """
    with contextlib.ExitStack() as stack:
        try:
            client = connect()
        except EngineError as error:
            if os.geteuid() != 0:
                raise ToolError(f"Starting a Docker engine needs root. {error}") from error
            client = stack.enter_context(_own(progress))
        stack.callback(client.close)
        yield Engine(client, _base(client, progress))


def unavailable(quick: bool) -> str:
    """Say why no engine is used in a run that does not name it; empty if one is."""
    try:
        connect().close()
        return ""
    except EngineError:
        if os.geteuid() != 0:
            return "no Docker engine answers, and starting one needs root"
        return "no Docker engine answers; --only docker starts one" if quick else ""


@contextlib.contextmanager
def _own(progress: Progress) -> Iterator[docker.DockerClient]:
    """Start an engine of our own, with nothing in it, all of it in a temporary folder."""
    packages.ensure("docker", say=lambda line: progress(line, 0, 0))
    progress("starting a Docker engine", 0, 0)
    bridge = Path("/sys/class/net") / _BRIDGE
    had_bridge = bridge.exists()
    folder = Path(tempfile.mkdtemp(prefix="mqb-engine-"))
    socket, log = f"unix://{folder / 'socket'}", folder / "log"
    argv = ["dockerd", "--host", socket, "--pidfile", str(folder / "pid")]
    argv += ["--data-root", str(folder / "data"), "--exec-root", str(folder / "exec")]
    before = os.environ.get(_VARIABLE)
    with log.open("wb") as file:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PATH": _PATH},
            start_new_session=True,
        )
    os.environ[_VARIABLE] = socket
    try:
        yield _wait(process, log)
    finally:
        os.environ.pop(_VARIABLE)
        if before is not None:
            os.environ[_VARIABLE] = before
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if not had_bridge and bridge.exists():
            subprocess.run(["ip", "link", "delete", _BRIDGE], env={"PATH": _PATH}, check=False)
        shutil.rmtree(folder, ignore_errors=True)


def _wait(process: "subprocess.Popen[bytes]", log: Path) -> docker.DockerClient:
    """Return the client of an engine that was started; ToolError if it does not come up."""
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            return connect()
        except EngineError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                tail = log.read_text(errors="replace")[-_TAIL:]
                raise ToolError(f"dockerd did not come up. It said:\n{tail}") from error
            time.sleep(0.1)


def _base(client: docker.DockerClient, progress: Progress) -> str:
    """Return the name of the base image that suits this machine: there, pulled, or made here."""
    wanted = Recipe.of(boards.find("sim")).base
    codename = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    own = f"mqboard/base:{codename or 'unknown'}"
    for name in (wanted, own):
        with contextlib.suppress(docker.errors.ImageNotFound):
            client.images.get(name)
            return name
    with contextlib.suppress(docker.errors.DockerException):
        progress(f"pulling {wanted}", 0, 0)
        client.images.pull(wanted)
        return wanted
    archive = _bootstrapped(codename, progress)
    progress("importing the base image", 0, 0)
    repository, _, tag = own.partition(":")
    client.api.import_image_from_file(
        str(archive), repository=repository, tag=tag, changes=[f"LABEL {LABEL}=base"]
    )
    return own


def _bootstrapped(codename: str, progress: Progress) -> Path:
    """Make a tar file with the smallest system of this machine's Debian release."""
    archive = cache_dir() / "base" / f"debian-{codename}.tar"
    with locked(archive.with_suffix(".lock"), progress):
        if archive.is_file():
            return archive
        if os.geteuid() != 0:
            raise ToolError("Making a base image needs root. Or pull one: docker pull debian:12")
        packages.ensure("docker", say=lambda line: progress(line, 0, 0))
        progress("making a base image with debootstrap", 0, 0)
        with tempfile.TemporaryDirectory(prefix="mqb-base-") as folder:
            root, partial = Path(folder) / "root", archive.with_suffix(".partial")
            _run(["debootstrap", "--variant=minbase", codename, str(root), mirrors()[0]])
            packed = "--exclude=./var/cache/apt/archives/*.deb"
            _run(["tar", "-C", str(root), "--numeric-owner", packed, "-cf", str(partial), "."])
            partial.replace(archive)
    return archive


def _run(argv: list[str]) -> None:
    result = subprocess.run(
        argv,
        env=os.environ | {"PATH": _PATH},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )
    if result.returncode:
        tail = (result.stdout + result.stderr)[-_TAIL:]
        raise ToolError(f"{argv[0]} failed, no base image was made:\n{tail}")
