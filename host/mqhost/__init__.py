"""The host side of MQBoard: builds firmware, runs simulated boards, talks to boards over MQTT."""
