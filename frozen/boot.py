"""Replaces any /boot.py on the filesystem, which would run outside the supervisor's care."""
