"""Plays many boards in one process, for load tests: numbers and rates of failure go in; boards that
speak the wire protocol over real MQTT, and figures of what they did, come out.

`line` is one connection to the broker, `decode` and `receiver` take updates, `board` answers
commands and restarts, `faults` says which board fails how, `crowd` runs them all. They run no
MicroPython and no code: for that there is the simulated board.
"""
