"""Works on a chip at a cable: images and a configuration go in, a board that can be met comes out.

A simulated board's flash file (`sim_target`) is flashed like a chip at a serial port.
"""
