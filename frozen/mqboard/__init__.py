"""Manages a board over MQTT: REPL, updater, watchdog and log. `main.py` puts the parts together."""
