"""The host side of MQBoard: builds firmware, runs simulated boards, and talks to boards over MQTT."""
