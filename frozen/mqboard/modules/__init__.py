"""Runs the user's modules, and holds those of ours that a board may have besides: names and
settings of the configuration go in; tasks of the supervisor come out, and why one does not run."""
