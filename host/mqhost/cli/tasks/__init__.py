"""Has the commands that make firmware, flash it and simulate boards, which are Invoke tasks, too.

In a checkout they have the same options as Invoke tasks (twin.py); errors become a sentence and an
exit code there as well. The demo is here, and what a build prints. The tasks themselves are in
tasks.py and ci/tasks.py.
"""
