"""Serves a folder to a board, which imports from it: edit here, run there, nothing is copied.

    with Mount(session, Folder(Path("src")), "ana") as mount:
        mount.update()  # tell the board what has changed in the folder
        for output in start(session, "import app"):  # mqhost.repl
            ...

The board knows the folder by a listing, and asks only for what files hold (frozen/mqwire/mount.py,
docs/protocol.md). `folder` decides what is served, `serving` answers the board.
"""

from mqhost.mount.folder import Folder
from mqhost.mount.serving import Mount

__all__ = ["Folder", "Mount"]
