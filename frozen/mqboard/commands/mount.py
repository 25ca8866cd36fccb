"""Mounts a folder of the host at /remote, for code from afar to import from; one at a time."""

import json

from mqwire import mount as wire


async def answer(board, request):
    """Begin, or say who has it already."""
    mounted = board.router.mounted
    if mounted:
        text = "busy: %s has %s mounted (%s), for %d s" % mounted.facts()
        await request.error(text.encode())
        return
    head, newline, listing = bytes(request.body).partition(b"\n")
    request.body = b""
    try:
        options = json.loads(head)
        if not newline or not isinstance(options, dict):
            raise ValueError
    except ValueError:
        await request.error(b"mount: a JSON object of options must come first, and a newline")
        return
    if len(listing) > wire.MAX_LISTING:
        await request.error(b"mount: the listing is longer than %d bytes" % wire.MAX_LISTING)
        return
    from mqboard.repl.mounted import Mounted

    mounted = Mounted(board, request, str(options.get("who", "somebody")), listing)
    mounted.begin()
    begun = json.dumps({"boot_id": board.identity.boot_id, "path": wire.PATH})
    await request.reply(begun.encode(), last=False)
