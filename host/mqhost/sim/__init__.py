"""The simulated board: a flash file, the bootloader's rules, and a device that runs MicroPython."""
