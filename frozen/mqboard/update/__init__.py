"""The board's half of an update: offers and blocks go in, a checked image comes out.

`receiver` holds one update together, `offer` and `signature` decide whether it begins, `decode`
makes blocks of records, `slots` reads and writes flash.
"""
