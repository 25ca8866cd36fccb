"""Defines the commands about what firmware is made of, and who made it."""
