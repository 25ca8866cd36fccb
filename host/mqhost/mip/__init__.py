"""Installs packages of MicroPython on a board, through this machine: the board needs no internet.

    "name@version"  →  Package in package.py, with all that it needs  →  files on the board

`fetching` gets bytes from the web or from a folder, `package` finds out what belongs to a package,
`install` puts what is new on the board.
Source of the index's format: MicroPython's documentation, "Package management", and mip.
"""
