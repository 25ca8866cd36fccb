"""Runs a plan in a container, as the user who asked for it.

What the programs read is mounted into the container under the path it has here, read-only; the
build tree and the caches are mounted to be written. So a container is made for one build and
removed after it, while everything worth keeping stays in the cache folder, and the same plan gives
the same bytes as on a machine with the same compiler. The container lives as long as we hold its
standard input: when this process ends, however that happens, it ends too.
"""

import codecs
import os
import platform
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import docker
import requests

from mqhost.build.board import Board
from mqhost.build.builders.docker_engine import LABEL, EngineError, connect, explained
from mqhost.build.builders.docker_image import Recipe, digest, ensure_image, is_at_hand
from mqhost.build.builders.native import (
    Echo,
    Listener,
    cores,
    mpy_cross_program,
    mpy_cross_version,
    mute,
)
from mqhost.build.plan import Plan, Tools
from mqhost.progress import Progress, silent

_HOME = "/tmp"  # of a user whom the container's system does not know
_ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64"}


class DockerBuilder:
    """Runs a plan in a container of `recipe`'s image."""

    name = "docker"

    def __init__(self, client: docker.DockerClient, recipe: Recipe) -> None:
        self.toolchain = recipe.base
        self._client = client
        self._recipe = recipe

    @classmethod
    def of(cls, board: Board, base_image: str | None = None) -> "DockerBuilder":
        """Make the builder for `board`, on `base_image` if given; EngineError without engine."""
        return cls(connect(), Recipe.of(board, base_image))

    def is_at_hand(self) -> bool:
        """Return whether nothing has to be pulled."""
        return is_at_hand(self._client, self._recipe)

    def prepare(self, board: Board, progress: Progress = silent) -> Tools:
        """Make the image when it is missing or out of date; return the programs in it."""
        self._check_architecture()
        image = ensure_image(self._client, self._recipe, progress)
        self.toolchain = digest(self._client, self._recipe)
        versions = f"image {image['Id']}", mpy_cross_version()
        return Tools("python3", mpy_cross_program(), versions, cores())

    def run(self, plan: Plan, log: Path, progress: Progress = silent, echo: Echo = mute) -> None:
        """Run the plan's steps, writing what they say to `log` and to `echo`; BuildError if one
        fails, EngineError if the engine does."""
        for folder in plan.caches:
            folder.mkdir(parents=True, exist_ok=True)
        environment = {"HOME": _HOME} | _proxies() | dict(plan.environment)
        with (
            Listener(plan, log, progress, echo) as listener,
            explained("running the build"),
            self._container(plan) as container,
        ):
            execute = _Execution(self._client.api, container, self._user, plan.tree, environment)
            if listener.wants_total:
                heard: list[str] = []
                execute(plan.dry_run, heard.append)
                listener.count("\n".join(heard))
            for step in plan.steps:
                listener.start(step)
                listener.end(execute(step.argv, listener.hear))

    @cached_property
    def _info(self) -> Mapping[str, Any]:
        with explained("asking what it is"):
            return self._client.info()

    @property
    def _user(self) -> str:
        """The user whom the programs run as: us, or root of an engine that itself runs as us."""
        rootless = any("rootless" in option for option in self._info.get("SecurityOptions") or ())
        return "0:0" if rootless else f"{os.getuid()}:{os.getgid()}"

    def _check_architecture(self) -> None:
        """Raise EngineError if the engine cannot run this machine's mpy-cross."""
        engine = self._info.get("Architecture", "")
        engine = _ARCHITECTURES.get(engine, engine)
        if sys.platform != "linux" or engine != platform.machine():
            raise EngineError(
                f"The engine runs Linux on {engine}, this machine is {platform.system()} on "
                f"{platform.machine()}: its mpy-cross does not run there. Use an engine of the "
                "same kind (DOCKER_HOST)."
            )

    @contextmanager
    def _container(self, plan: Plan) -> Iterator[str]:
        """Run a container that sees what the plan needs, while the block runs; gives its id."""
        api = self._client.api
        container = api.create_container(
            self._recipe.tag,
            # Waits, and ends when its input does.
            entrypoint=["cat"],
            command=[],
            stdin_open=True,
            user=self._user,
            environment={"HOME": _HOME},
            labels={LABEL: "container"},
            host_config=api.create_host_config(
                auto_remove=True,
                mounts=mounts(plan),
                # Where SELinux is on, it would keep the container from the mounted folders.
                security_opt=["label=disable"],
            ),
        )["Id"]
        try:
            standard_input = api.attach_socket(container, params={"stdin": 1, "stream": 1})
            try:
                api.start(container)
                yield container
            finally:
                standard_input.close()
        finally:
            # It may be on its way out already, and an engine that is gone has no container.
            with suppress(docker.errors.APIError, requests.RequestException):
                api.remove_container(container, force=True, v=True)


def mounts(plan: Plan) -> list[docker.types.Mount]:
    """Return what a container for `plan` has mounted, all under the paths of this machine."""
    writable = {plan.tree, *plan.caches}
    readable = {path for path in plan.reads if path.is_absolute()} - writable
    return [_mount(path, True) for path in sorted(readable)] + [
        _mount(path, False) for path in sorted(writable)
    ]


def _mount(path: Path, read_only: bool) -> docker.types.Mount:
    return docker.types.Mount(str(path), str(path), type="bind", read_only=read_only)


class _Execution:
    """Runs programs in a running container, one after the other."""

    def __init__(
        self, api: Any, container: str, user: str, folder: Path, environment: Mapping[str, str]
    ) -> None:
        self._api = api
        self._container = container
        self._options = {
            "user": user,
            "workdir": str(folder),
            "environment": dict(environment),
        }

    def __call__(self, argv: Sequence[str], hear: Callable[[str], None]) -> int:
        """Run a program; `hear` gets its lines. Return its status."""
        execution = self._api.exec_create(self._container, list(argv), **self._options)["Id"]
        for line in _lines(self._api.exec_start(execution, stream=True)):
            hear(line)
        status = self._api.exec_inspect(execution)["ExitCode"]
        if status is None:
            raise EngineError(
                f"The container ended while {argv[0]} ran in it: somebody stopped it, or the "
                "engine. Build again."
            )
        return status


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Split what comes in pieces of any size into lines."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    rest = ""
    for chunk in chunks:
        *lines, rest = (rest + decoder.decode(chunk)).split("\n")
        yield from lines
    if rest:
        yield rest


def _proxies() -> dict[str, str]:
    """Return the proxies that this machine's programs are told to use."""
    return {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
