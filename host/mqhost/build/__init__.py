"""Builds firmware: a board.toml goes in; app.bin, flash.bin and their signed offer come out.

`board` and `plan` say what is to be done, `source` and `freeze` bring what it needs, the package
`builders` does it, `images` makes files of the result. `build` is the way through all of them.
"""
