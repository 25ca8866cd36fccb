"""Who lives and who is confirmed: tasks go in, watchdog feeds, confirmations and rollbacks
come out."""
