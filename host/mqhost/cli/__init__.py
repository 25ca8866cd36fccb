"""Offers the command line, and alone prints and asks: arguments go in, text comes out.

`main` is the command `mqboard`, `catalogue` its table of commands; each is a module in a room here,
as `manage` or `update`, and is imported when it is used. `edge` has what all of them take from
their line, `many` runs one for many boards, `terminal` shows and asks. The Invoke tasks use the
same functions, and have a room, `tasks`.
"""
