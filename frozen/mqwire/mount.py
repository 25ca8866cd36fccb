"""Defines how a board imports from a folder of the host.

    host  -> cmd/mount/<id>     a JSON object, a newline, the listing of the folder
    board -> reply/out/<id>     JSON: that it is mounted, then what it asks for; the last: that it
                                is over, and why
    host  -> cmd/mounted/<id>   one part of an answer: HEAD, then data; no id of its own, no reply

A listing is a line for each file and folder: its path within the folder, NUL, and its size in
digits, or "-" for a folder.
"""

PATH = "/remote"  # where it is mounted

# What is behind a message's header: the number of the question, at which byte of the file the data
# begins, and the size of the whole file.
HEAD = ">III"
HEAD_SIZE = 12
# Numbers that answer no question.
LISTING = 0  # a new listing, as if it were a file
ANEW = 0xFFFFFFFF  # modules of the folder are unloaded, and names begin anew
HERE = 0xFFFFFFFE  # the host is still there
# As a file's size: there is none to be had, and in place of the position is the errno.
FAULT = 0xFFFFFFFF

MAX_LISTING = 15_000  # bytes
WINDOW = 32_768  # bytes of one file that may be on their way; a board takes them as it reads
LEASE_S = 30  # the host says so often, at least, that it is there; otherwise the mount is over
