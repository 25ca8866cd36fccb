"""Rolls images out to many boards: boards, images and options go in; waves, and step by step every
board's state until it runs its image, come out.

`options`, `plan`, `states`, `look`, `engine` and `outcome` decide, and touch neither clock nor
network; `drive` does what they decide, on what `field` sees, and `notes` tell boards that sleep.
The line and the page use `images`, `control`, `running` and `overview`.
"""
