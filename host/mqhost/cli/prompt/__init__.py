"""Offers the prompt of a board: `command` defines it, `talk` reads, runs and shows, line by line.

`prompt` edits a line (prompt_toolkit), `history` keeps it, `keyboard` has what is typed meanwhile
wait and makes Ctrl-C the board's, `presence` tells when the board went away and came back, and
`screen` shows what it prints.
"""
