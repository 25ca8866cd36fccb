"""Has the commands of a project of the user's own: a new one, and its tests."""
