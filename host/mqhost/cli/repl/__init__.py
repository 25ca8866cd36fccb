"""Defines the commands that run code on a board, and end it: options, help, what they print.
What they do is in mqhost.repl; they are in the table of mqhost.cli.catalogue."""
