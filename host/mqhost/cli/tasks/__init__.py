"""Has what Invoke tasks need to be like commands: an error is a sentence and an exit code."""
