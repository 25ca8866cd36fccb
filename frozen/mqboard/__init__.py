"""The on-board package: MQTT, REPL, updater, watchdog and log. `main.py` puts them together."""
