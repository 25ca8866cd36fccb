"""Chooses boards and asks many at once: the broker's retained messages and a condition go in; who
is there, and what each says, comes out."""
