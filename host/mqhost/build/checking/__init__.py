"""Checks definitions of boards without building them: `verify`, against themselves and against what
`upstream_board` reads in MicroPython's own files.
"""
