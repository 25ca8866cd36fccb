"""Spoils a module of a desk board, and says what a sweep of it then finds."""

from ci.cuts.powercuts import Cut
from ci.desk import modules


def spoil(desk, monkeypatch, name, change):
    """Have `change(module)` spoil the board's module `name` whenever it is loaded."""
    execute = modules._Loader.exec_module

    def spoiled(loader, module):
        execute(loader, module)
        if module.__name__ == name:
            change(module)

    monkeypatch.setattr(modules._Loader, "exec_module", spoiled)
    desk.modules.forget()


def lost(sweeper, story) -> list[str]:
    """Return what is lost where `sweeper` cuts the power at each flash operation of a story."""
    for at in range(sweeper.length(story)):
        sweeper.cut(story, Cut(at, 0.5))
    return sweeper.count.bricks
