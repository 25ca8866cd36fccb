"""Works with the files of one board: a path goes in, entries and bytes come out.

`BoardFiles` in board_files.py is what others use; `trees` has whole folders. `getting` and
`putting` carry bytes over lost connections and resets, `landing` keeps what a board sends within
the folder that was chosen, whatever names it sends.
"""
