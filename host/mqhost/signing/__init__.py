"""Decides who may update a board: keys and images go in, signed offers come out.

The bytes of an app image and a key go in; a signed offer comes out, or the reason why not.
"""
