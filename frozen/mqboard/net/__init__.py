"""Makes connections: networks, names, time, TCP and TLS go in, open streams come out.

A host and a port go in, a stream for asyncio comes out (`opener`, `open_stream`).
"""

from mqboard.net.stream import open_stream as open_stream
from mqboard.net.stream import opener as opener
