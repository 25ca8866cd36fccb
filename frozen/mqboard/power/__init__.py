"""Lets a board on a battery sleep: it wakes on a period, talks, and sleeps again. A configuration
with `power` goes in, deep sleeps come out.

Loaded only by boards that have `power` in their configuration, or wake from such a sleep.
"""
