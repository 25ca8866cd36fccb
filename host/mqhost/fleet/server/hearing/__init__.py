"""Hears what boards say by themselves, or are asked for the history, and gives it on."""
