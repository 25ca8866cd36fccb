"""Gives and takes files: a command goes in, entries and bytes come out.

`service` has the queue and what all commands need; `listing`, `changes`, `moves` and `reading` have
the commands, loaded with their first use; `puts` and `incoming` take what is put. An idle board has
none of it in memory.
"""

COMMANDS = ("ls", "stat", "get", "rm", "mkdir", "rmdir", "touch", "mv", "cp", "df")
