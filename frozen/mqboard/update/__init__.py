"""Takes updates on the board: offers and blocks go in, a checked image in the other slot comes out.

`receiver` holds one update together, `offer` and `signature` decide whether it begins, `decode`
makes blocks of records, `slots` reads and writes flash.
"""
