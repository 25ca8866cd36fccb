"""Tells what code runs, the oldest first: its id, how it begins, for how many seconds; and what is
mounted.
"""

import json


async def answer(board, request):
    """Answer with JSON; see docs/protocol.md."""
    jobs = board.router.jobs
    now = board.supervisor.seconds
    told = [
        {"id": job.ident, "text": job.text, "s": now - job.since}
        for job in (jobs.all if jobs else ())
    ]
    mounted = board.router.mounted
    if mounted:
        who, path, ident, seconds = mounted.facts()
        told.append({"id": ident, "text": "mount %s (%s)" % (path, who), "s": seconds})
    await request.reply(json.dumps({"running": told}).encode())
