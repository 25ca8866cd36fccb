"""Runs git in the repositories that tests make."""

import os
import subprocess

COMMIT_TIME = 1_700_000_000


def git(folder, *arguments, when=COMMIT_TIME):
    """Run git there as nobody in particular, at the time `when`; return what it prints."""
    date = f"{when} +0000"
    dates = {"GIT_COMMITTER_DATE": date, "GIT_AUTHOR_DATE": date}
    environment = os.environ | dates | {"HOME": str(folder)}  # the user's settings stay out
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    argv = ["git", *identity, "-C", str(folder), *arguments]
    result = subprocess.run(argv, env=environment, check=True, capture_output=True, text=True)
    return result.stdout.strip()
