"""Brings an application to a board as a unit: a folder goes in; the board runs it, confirmed, or is
back with the one before and says why (docs/applications.md)."""
