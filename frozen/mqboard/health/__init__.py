"""Watches over the board: tasks go in; watchdog feeds, confirmations, rollbacks and records of what
went wrong come out."""
