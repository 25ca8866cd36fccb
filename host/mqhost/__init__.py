"""Builds firmware, runs simulated boards, and talks to boards over MQTT: the host's side."""
