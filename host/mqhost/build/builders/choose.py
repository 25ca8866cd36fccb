"""Chooses the builder for a plan: the one asked for, or the one that suits board and machine.

A board whose definition names a toolchain is built in a container, unless no engine answers and
this machine has the toolchain itself. The simulated board names none: its program runs on this
machine, so this machine's compiler and libraries are the right ones.
"""

import os

from mqhost.build.board import Board
from mqhost.build.builders.native import Builder, NativeBuilder
from mqhost.errors import UsageError
from mqhost.progress import Progress, silent

NAMES = ("native", "docker")


def choose_builder(
    name: str | None,
    board: Board,
    base_image: str | None = None,
    progress: Progress = silent,
) -> Builder:
    """Return the builder of that name; without one, what suits `board` and this machine, and
    `progress` is told which that is and why.

    `base_image`: what the docker builder's image is made from, instead of the board's toolchain.
    Raises UsageError for a name there is not, EngineError if docker it must be and no engine
    answers.
    """
    if name not in (None, *NAMES):
        raise UsageError(f"There is no builder {name!r}. Known builders: {', '.join(NAMES)}.")
    if name == NativeBuilder.name and base_image:
        raise UsageError(
            "The native builder uses this machine's compiler, not a base image. "
            "Leave --base-image out, or use --builder docker."
        )
    if name is None and not base_image:
        chosen, why = _suitable(board)
        progress(f"building with {chosen.name}: {why}", 0, 0)
        return chosen
    return NativeBuilder() if name == NativeBuilder.name else _docker(board, base_image)


def _suitable(board: Board) -> tuple[Builder, str]:
    """Return the builder for `board` on this machine, and why it is that."""
    if not board.toolchain:
        return NativeBuilder(), f"{board.name} runs on this machine"
    # Slow to load: only where docker is wanted.
    from mqhost.build.builders.docker import DockerBuilder
    from mqhost.build.builders.docker_engine import EngineError

    has_toolchain = bool(os.environ.get("IDF_PATH"))
    try:
        builder = DockerBuilder.of(board)
    except EngineError as error:
        if has_toolchain:
            return NativeBuilder(), "no Docker engine answers, ESP-IDF is here (IDF_PATH)"
        raise EngineError(f"{board.name} is built with {board.toolchain}. {error}") from error
    if has_toolchain and not builder.is_at_hand():
        return NativeBuilder(), f"ESP-IDF is here (IDF_PATH), {builder.toolchain} is not"
    return builder, f"in a container of {builder.toolchain}"


def _docker(board: Board, base_image: str | None) -> Builder:
    from mqhost.build.builders.docker import DockerBuilder

    return DockerBuilder.of(board, base_image)
