"""Which builder carries out a plan: the one asked for, or the one that suits board and machine."""

from mqhost.board import Board
from mqhost.builder import Builder, NativeBuilder
from mqhost.errors import UsageError


def choose_builder(name: str | None, board: Board) -> Builder:
    """The builder of that name; by default the native one."""
    if name in (None, NativeBuilder.name):
        return NativeBuilder()
    raise UsageError(f"There is no builder {name!r}. Known builders: native, docker.")
