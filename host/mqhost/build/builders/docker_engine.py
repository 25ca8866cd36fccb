"""Finds the container engine and connects to it, or says in a sentence why that does not work.

Docker's SDK speaks to any engine with Docker's interface: Docker itself, rootless or not, and
podman through DOCKER_HOST.
"""

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
import requests
import urllib3

from mqhost.errors import ToolError

# Every image and container that is made here carries it, so that it can be found and removed.
LABEL = "mqboard"
_PROBE_SECONDS = 10
# Between two signs of life; a package that is being unpacked can be silent for long.
_SILENT_SECONDS = 900
_NATIVE = "or build with this machine's own compiler: --builder native"


class EngineError(ToolError):
    """Raised when there is no engine, or it does not let us."""


def connect() -> docker.DockerClient:
    """Return the engine; EngineError saying why there is none and what to do."""
    address = engine_address()
    try:
        docker.DockerClient(base_url=address, version="auto", timeout=_PROBE_SECONDS).close()
        return docker.DockerClient(base_url=address, version="auto", timeout=_SILENT_SECONDS)
    except (docker.errors.DockerException, requests.RequestException, ValueError) as error:
        raise EngineError(_why(address, error)) from error


def engine_address() -> str:
    """Return where the engine listens: DOCKER_HOST, else the first usual socket that exists."""
    explicit = os.environ.get("DOCKER_HOST")
    if explicit:
        return explicit
    system = Path("/var/run/docker.sock")
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}")
    sockets = (system, runtime / "docker.sock", Path.home() / ".docker" / "run" / "docker.sock")
    return f"unix://{next((path for path in sockets if path.exists()), system)}"


@contextmanager
def explained(doing: str) -> Iterator[None]:
    """Turn what the engine complains about in the `with` block into an EngineError; `doing` is
    what could not be done, as "running the build"."""
    try:
        yield
    except docker.errors.DockerException as error:
        reason = getattr(error, "explanation", None) or str(error)
        raise EngineError(
            f"The engine failed at {doing}: {reason}. {advice(str(reason))}"
        ) from error
    except (requests.RequestException, urllib3.exceptions.HTTPError, ConnectionError) as error:
        raise EngineError(
            f"The engine at {engine_address()} went away at {doing}: {error}. "
            "See whether it still runs (docker info), then build again."
        ) from error


def advice(reason: str) -> str:
    """Say what to do about `reason`, in the engine's or a program's words."""
    text = reason.lower()
    if "no space left" in text or "disk quota" in text:
        return "Its disk is full: docker system df shows with what; invoke clean --all, or " + (
            "docker system prune, makes room."
        )
    if "bind source path does not exist" in text or "no such file or directory" in text:
        return (
            "The engine does not see this machine's folders: it runs on another machine or in a "
            f"virtual one. Let it share them, set DOCKER_HOST to one that runs here, {_NATIVE}."
        )
    if any(word in text for word in ("resolv", "no such host", "timeout", "unreachable", "lookup")):
        return f"Check the network, and that containers reach it; {_NATIVE}."
    if "permission denied" in text or "operation not permitted" in text:
        return f"The engine may not do this on this machine: see its log; {_NATIVE}."
    return f"See the engine's log (journalctl -u docker); {_NATIVE}."


def _why(address: str, error: BaseException) -> str:
    """Say why the engine cannot be reached, and the next step."""
    causes = list(_causes(error))
    if any(isinstance(cause, PermissionError) for cause in causes):
        user = pwd.getpwuid(os.geteuid()).pw_name
        return (
            f"User {user} may not talk to the Docker engine at {address}. As root: "
            f"usermod -aG docker {user}, then log in again; {_NATIVE}."
        )
    if any(isinstance(cause, FileNotFoundError) for cause in causes):
        reason = "there is no such socket"
    elif any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        reason = "nobody listens there"
    else:
        reason = str(causes[-1])
    return (
        f"No Docker engine answers at {address}: {reason}. Start it (systemctl start docker), "
        "install it (on Debian: apt-get install docker.io), set DOCKER_HOST to where one listens "
        f"(podman's socket works too), {_NATIVE}."
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield `error` and whatever it was made from, the first cause last."""
    while error is not None:
        yield error
        # Some of the layers hand their cause on as an argument only.
        inner = [part for part in _flat(error.args) if isinstance(part, BaseException)]
        yield from inner
        error = error.__cause__ or error.__context__


def _flat(arguments: tuple) -> Iterator[object]:
    for argument in arguments:
        if isinstance(argument, tuple):
            yield from _flat(argument)
        else:
            yield argument
