"""Runs code from afar: the text of a command goes in, what it evaluates to and prints comes out."""
