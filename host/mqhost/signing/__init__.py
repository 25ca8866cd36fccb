"""Who may update a board: keys, the offer that describes an image, and its signature.

The bytes of an app image and a key go in; a signed offer comes out, or the reason why not.
"""
