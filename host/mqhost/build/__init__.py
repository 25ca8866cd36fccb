"""Builds firmware: a board.toml goes in; app.bin, flash.bin and their signed offer come out.

`board` and `plan` say what is to be done, `sources` and `freeze` bring what it needs, `builders` do
it, `images` makes files of the result, and `evidence` says what of. `build` is the way through all
of them; `checking` looks at boards without building any.
"""
