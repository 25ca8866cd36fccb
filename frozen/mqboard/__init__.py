"""Manages a board over MQTT: REPL, updater, watchdog and log. `main.py` puts the parts together."""

storage = None  # what _boot.py found wrong with the filesystem; it runs before all else of ours
