"""Manages a board over MQTT: REPL, updater, watchdog and log. `main.py` puts the parts together."""

storage = None  # what _boot.py found wrong with the filesystem; it runs before all else of ours
# Where modules of the user lie. All of it comes after what is frozen, which no file can stand in
# for; "/" and not "", so that a file's name is told from a frozen one's, and chdir changes nothing.
USER_PATH = ("/app", "/lib", "/")
