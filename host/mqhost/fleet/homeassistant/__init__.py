"""Shows boards in Home Assistant: statuses and `info` go in; devices with their sensors, a restart
button and an update with progress come out, by its MQTT discovery, and what people press goes in.

`topics`, `discovery`, `device`, `boards` and `owners` decide, and touch no network. `bridge`
listens, `publisher` says what has changed, `jobs` asks boards, restarts and updates them, `removal`
takes all away.
"""
