"""Makes the image that builds run in, from docker/<port>.Dockerfile and a base image.

`Recipe` says what an image is made from; its tag contains the hash of all that, so an image of that
tag is the right one. `ensure_image` makes it when there is none, or when another image now stands
under the base's name.
"""

import hashlib
import io
import os
import platform
import re
import tarfile
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker

from mqhost.build.board import Board
from mqhost.build.builders.docker_engine import LABEL, EngineError, advice, explained
from mqhost.build.builders.native import Echo, mute
from mqhost.paths import DOCKER, cache_dir
from mqhost.progress import Progress, silent

BASE_VARIABLE = "MQBOARD_BASE_IMAGE"
_BASE_LABEL = "mqboard.base"  # the name of the base image
_BASE_ID_LABEL = "mqboard.base.id"
_FILES = {"unix": "sim.Dockerfile", "esp32": "esp32.Dockerfile"}
_DEFAULT = re.compile(r"^ARG BASE=(\S+)", re.MULTILINE)
_STEP = re.compile(r"Step (\d+)/(\d+) : ")
_TAIL_LINES = 15


@dataclass(frozen=True)
class Recipe:
    """What an image is made from: the Dockerfile's path and text, and the base image's name."""

    dockerfile: Path
    text: str
    base: str

    @classmethod
    def of(cls, board: Board, base_image: str | None = None) -> "Recipe":
        """Make the recipe of the image that `board` is built in; on `base_image` if it is given,
        else on MQBOARD_BASE_IMAGE, on the board's toolchain, or on what suits this machine.
        """
        dockerfile = DOCKER / _FILES[board.port]
        text = dockerfile.read_text()
        found = _DEFAULT.search(text)
        base = (
            base_image
            or os.environ.get(BASE_VARIABLE)
            or board.toolchain
            or (_own_debian() if board.port == "unix" else "")
            or (found[1] if found else "")
        )
        return cls(dockerfile, text, base)

    @property
    def name(self) -> str:
        """The image's name without its tag."""
        return f"mqboard/{self.dockerfile.stem}"

    @property
    def tag(self) -> str:
        """The image's name with its tag: another one for another Dockerfile or base."""
        key = hashlib.sha256(f"{self.base}\n{self.text}".encode()).hexdigest()
        return f"{self.name}:{key[:12]}"


def is_at_hand(client: docker.DockerClient, recipe: Recipe) -> bool:
    """Return whether the image is there, or can be made from a base image that is."""
    return any(_find(client, name) for name in (recipe.tag, recipe.base))


def ensure_image(
    client: docker.DockerClient, recipe: Recipe, progress: Progress = silent, echo: Echo = mute
) -> Mapping[str, Any]:
    """Make the image unless it is there; return its record, as the engine gives it."""
    image, base = _find(client, recipe.tag), _find(client, recipe.base)
    if image and (not base or image["Config"]["Labels"].get(_BASE_ID_LABEL) == base["Id"]):
        return image
    if not base:
        _pull(client, recipe.base, progress)
        base = _find(client, recipe.base)
        if not base:
            raise EngineError(f"The engine pulled {recipe.base}, but does not have it: {_ELSE}")
    _build(client, recipe, base["Id"], progress, echo)
    made = _find(client, recipe.tag)
    if not made:
        raise EngineError(f"The engine built {recipe.tag}, but does not have it. Build again.")
    _remove_older(client, recipe, image)
    return made


def digest(client: docker.DockerClient, recipe: Recipe) -> str:
    """Return the base image with its digest, as "debian:trixie-slim@sha256:…"; of an image that was
    not pulled, with its id.
    """
    base = _find(client, recipe.base) or {}
    digests = base.get("RepoDigests") or [f"@{base.get('Id', 'unknown')}"]
    return f"{recipe.base}@{digests[0].rpartition('@')[2]}"


def remove_all(client: docker.DockerClient) -> list[str]:
    """Remove every container and image that builds made, but no base image; return their names."""
    removed = []
    wanted = {"label": LABEL}
    with explained("removing what builds made"):
        for container in client.containers.list(all=True, filters=wanted, ignore_removed=True):
            container.remove(force=True, v=True)
            removed.append(f"container {container.name}")
        images = client.images.list(filters=wanted)
        # What was made from another one comes first.
        for image in sorted(images, key=lambda image: image.attrs["Created"], reverse=True):
            client.images.remove(image.id, force=True)
            removed.append(f"image {', '.join(image.tags) or image.short_id}")
    return removed


_ELSE = (
    "Take one that is there (docker images): --base-image NAME; docs/docker.md tells how to make "
    "one without a registry. Or build with this machine's own compiler: --builder native."
)


def _own_debian() -> str:
    """Return the image of this machine's Debian release; empty on any other system."""
    try:
        system = platform.freedesktop_os_release()
    except OSError:
        return ""
    codename = system.get("VERSION_CODENAME", "")
    return f"debian:{codename}-slim" if system.get("ID") == "debian" and codename else ""


def _find(client: docker.DockerClient, name: str) -> Mapping[str, Any] | None:
    """Return the record of the image of that name, if it is there."""
    with explained(f"looking for image {name}"):
        try:
            return client.api.inspect_image(name)
        except docker.errors.ImageNotFound:
            return None


def _pull(client: docker.DockerClient, name: str, progress: Progress) -> None:
    """Pull the image, telling the bytes that are there of all that are known of."""
    title = f"pulling {name}"
    progress(title, 0, 0)
    layers: dict[str, tuple[int, int]] = {}
    repository, tag = docker.utils.parse_repository_tag(name)
    try:
        for event in client.api.pull(repository, tag or "latest", stream=True, decode=True):
            if "error" in event:
                raise docker.errors.APIError(event["error"])
            detail = event.get("progressDetail") or {}
            if event.get("status") == "Downloading" and detail.get("total"):
                layers[event["id"]] = detail["current"], detail["total"]
            elif event.get("status") == "Download complete" and event.get("id") in layers:
                layers[event["id"]] = (layers[event["id"]][1],) * 2
            done, total = map(sum, zip(*layers.values(), strict=True)) if layers else (0, 0)
            progress(title, done, total)
    except docker.errors.DockerException as error:
        reason = str(getattr(error, "explanation", None) or error)
        if "no space left" in reason.lower():
            raise EngineError(f"{name} cannot be pulled: {reason}. {advice(reason)}") from error
        raise EngineError(
            f"The base image {name} is not there and cannot be pulled: {reason}. "
            f"Check the name and the network. {_ELSE}"
        ) from error


def _build(
    client: docker.DockerClient, recipe: Recipe, base: str, progress: Progress, echo: Echo
) -> None:
    """Build the image; what is said goes to a log in the cache folder."""
    log = cache_dir() / "log" / f"{recipe.name.replace('/', '-')}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    title = f"building image {recipe.name}"
    progress(title, 0, 0)
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    with log.open("w") as file, explained(f"building {recipe.tag}"):
        events = client.api.build(
            fileobj=_context(recipe.text),
            custom_context=True,
            tag=recipe.tag,
            buildargs={"BASE": recipe.base},
            labels={LABEL: "image", _BASE_LABEL: recipe.base, _BASE_ID_LABEL: base},
            rm=True,
            forcerm=True,
            decode=True,
            use_config_proxy=True,
        )
        for event in events:
            failed = event.get("error")
            for line in _lines(failed or event.get("stream", "")):
                file.write(line + "\n")
                tail.append(line)
                echo(line)
                step = _STEP.match(line)
                if step:
                    progress(title, int(step[1]) - 1, int(step[2]))
            if failed:
                file.flush()
                said = "\n".join(tail)
                raise EngineError(
                    f"The image of {recipe.dockerfile} on {recipe.base} could not be built. "
                    f"{advice(said)} {log} ends with:\n{said}"
                )


def _context(dockerfile: str) -> io.BytesIO:
    """Return what the engine gets to build from: the Dockerfile, and nothing else."""
    data = dockerfile.encode()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("Dockerfile")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    buffer.seek(0)
    return buffer


def _lines(text: str) -> Iterator[str]:
    return (line for line in text.splitlines() if line.strip())


def _remove_older(
    client: docker.DockerClient, recipe: Recipe, replaced: Mapping[str, Any] | None
) -> None:
    """Remove the image that was `replaced` under its tag, and those that an older Dockerfile gave.

    Those on other bases stay: somebody goes back and forth between them.
    """
    with explained("looking for older images"):
        images = client.images.list(name=recipe.name, filters={"label": LABEL})
    older = [
        image.id
        for image in images
        if recipe.tag not in image.tags and image.labels.get(_BASE_LABEL) == recipe.base
    ]
    for identity in [*older, *([replaced["Id"]] if replaced else [])]:
        # One that others were made from, or that somebody uses, stays for them.
        with suppress(docker.errors.APIError):
            client.images.remove(identity, force=True)
