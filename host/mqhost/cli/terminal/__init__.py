"""Shows and asks: text that cannot control the terminal, tables, progress, questions.

Each works on a terminal, in a pipe and for scripts, which get JSON. The commands use it.
"""
