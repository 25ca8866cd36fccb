"""Keeps an application on a board like its folder, while somebody edits it: `mqboard dev`.

    change in the folder → check → what differs is sent → its modules start anew

`watching` tells that something has changed, `checking` what is no Python, `projectfile` what is
wrong in mqboard.toml; `applying` brings the rest to the board, `freezing` as firmware; `desk` has a
board where there is none, and `claim` keeps a second one out.
"""
