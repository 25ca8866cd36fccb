"""Tells what code runs, the oldest first: its id, how it begins, for how many seconds."""

import json


async def answer(board, request):
    """Answer with JSON; see docs/protocol.md."""
    jobs = board.router.jobs
    now = board.supervisor.seconds
    told = [
        {"id": job.ident, "text": job.text, "s": now - job.since}
        for job in (jobs.all if jobs else ())
    ]
    await request.reply(json.dumps({"running": told}).encode())
