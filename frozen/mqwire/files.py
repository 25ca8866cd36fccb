"""Defines how files travel: names of unfinished files, sizes, kinds of messages, codes of errors.

    host  -> cmd/<command>/<id>   a JSON object: ls stat rm mkdir rmdir touch mv cp df get
    board -> reply/out/<id>       lines of JSON: an array for each entry, an object for what came
                                  of it; `get` has messages of its own instead, see below
    host  -> cmd/put/<id>         head, the bytes of the file, in as many messages as it takes
    board -> reply/out/<id>       objects: what it has, how far it is, what came of it

An object with "error" in it says why not: the code (CODES), "path", and what belongs to it.
"""

import struct

from mqwire import HEADER_SIZE, MAX_PAYLOAD, WireError

# What is being put has a name that begins so until it is all there, with 16 hex digits behind; it
# lies in the root folder of the filesystem where it belongs, and no listing shows it.
TEMP = ".put-"
TEMP_SIZE = len(TEMP) + 16
MAX_FILE_NAME = 255  # bytes of UTF-8, of one name in a path: LittleFS's

# A file is hashed, read and sent in pieces of this size.
PIECE = 4096
# Bytes of one file that may be on their way to a board, and after how many it says how far it is.
CREDIT = 65536
REPORT_EVERY = 32768
# The most that one item of `get` asks for: a board says nothing else to us meanwhile.
MAX_CHUNK = 65536

# Kinds of messages of `get`: the byte behind the header.
DATA = 0
END = 1  # of an item: size and time of the file, and whether it is known to be the same all along
FAULT = 2  # of an item: an object with "error"
KIND_SIZE = 1
_END = ">IIB"

# Codes of errors: those of the filesystem by their numbers, and our own.
CODES = (
    (1, "EPERM"),
    (2, "ENOENT"),
    (5, "EIO"),
    (12, "ENOMEM"),
    (16, "EBUSY"),
    (17, "EEXIST"),
    (20, "ENOTDIR"),
    (21, "EISDIR"),
    (22, "EINVAL"),
    (27, "EFBIG"),
    (28, "ENOSPC"),
    (30, "EROFS"),
    (36, "ENAMETOOLONG"),
    (39, "ENOTEMPTY"),
    (84, "ECORRUPT"),
    (95, "ENOTSUP"),
)
MALFORMED = "malformed"  # what the host sent
GAP = "gap"  # a part is missing; what came before it is kept
HASH = "hash"  # what stands in flash is not what the host announced
CANCELLED = "cancelled"
ABANDONED = "abandoned"  # nothing came for a minute
SUPERSEDED = "superseded"  # its sender began anew
GUARDED = "guarded"  # the configuration, which is changed by `config` alone: on trial
OWN_CODES = (MALFORMED, GAP, HASH, CANCELLED, ABANDONED, SUPERSEDED, GUARDED)

_HEAD = ">H"


def code_of(number):
    """Return the code of an error number of the filesystem's; LittleFS has negative ones, too."""
    for known, code in CODES:
        if known == abs(number):
            return code
    return "E%d" % abs(number)


def is_temporary(name):
    """Return whether a file of that name is one that is being put, or was left behind by that."""
    return len(name) == TEMP_SIZE and name.startswith(TEMP)


def pack_end(size, mtime, steady):
    """Return the body of an END: size (bytes), mtime (seconds of the board's clock), and whether
    the file is known to have been the same from the item's first byte to its last."""
    return struct.pack(_END, size & 0xFFFFFFFF, mtime & 0xFFFFFFFF, bool(steady))


def unpack_end(body):
    """Return (size, mtime, steady); raise WireError if `body` is none."""
    if len(body) != struct.calcsize(_END):
        raise WireError("the end of a file is cut short")
    size, mtime, steady = struct.unpack(_END, body)
    return size, mtime, bool(steady)


def pack_head(head):
    """Return what the first message of a put begins with: `head`, JSON, behind its length."""
    if len(head) > MAX_PAYLOAD - HEADER_SIZE - 2:
        raise WireError("the head of a file has %d bytes" % len(head))
    return struct.pack(_HEAD, len(head)) + head


def unpack_head(data):
    """Return (head, what is behind it), both views of `data`; raise WireError if it is cut."""
    view = memoryview(data)
    if len(view) < 2:
        raise WireError("the head of a file is cut short")
    (size,) = struct.unpack_from(_HEAD, view, 0)
    if len(view) < 2 + size:
        raise WireError("the head of a file is cut short")
    return view[2 : 2 + size], view[2 + size :]
