"""Looks at many boards at once: the broker's retained messages go in; who is there, and how, comes
out."""
