"""Configures an application as its own mqtt_local.py would, from JSON on stdin."""

import json
import sys

from mqtt_as import config

config.update(json.load(sys.stdin))
