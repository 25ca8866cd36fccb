"""Watches over the board: tasks go in; watchdog feeds, confirmations and rollbacks come out."""
