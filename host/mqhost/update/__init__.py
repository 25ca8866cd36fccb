"""Updates a board from the host: an image and a session go in, a board that runs it comes out.

`push` follows the whole way, `transfer` sends what the board lacks, `blocks` and `delta` encode it,
`failures` has a sentence for every bad end, `store` keeps the images that boards may run.
"""
