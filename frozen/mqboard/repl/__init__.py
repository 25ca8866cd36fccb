"""Runs code from afar: text comes in; what it prints, its value and its traceback go out.

`eval` and `exec` (mqboard.commands) compile by `source`, run under a `Job` and print into its
`Output`; `Jobs` knows what runs, and interrupts it. All of it is loaded when code comes, and not
kept.
"""
