"""Has what the Invoke tasks are made of: what they print, and how they are like commands.

The options of a `mqboard` command, errors as a sentence and an exit code, the demo, a simulated
board in the foreground, a chip at a cable. The tasks are in tasks.py and ci/tasks.py.
"""
