"""What an application's own mqtt_local.py says: here it is JSON on stdin."""

import json
import sys

from mqtt_as import config

config.update(json.load(sys.stdin))
