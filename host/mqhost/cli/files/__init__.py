"""Defines the commands for files: what they take from the line, and what they print."""
