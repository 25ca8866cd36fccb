"""Ends what is under way: one command with code, files or a mount; without an id the update, or
all code.
"""

from mqwire import HEADER_SIZE


async def answer(board, request):
    """Cancel; answer OK in any case."""
    jobs = board.router.jobs
    if jobs:  # it was told as this came, but what came right before has begun only now
        payload = memoryview(bytes(HEADER_SIZE) + request.body)
        jobs.hear("cancel", request.ident, request.tail, payload)
    mounted = board.router.mounted
    if mounted and (request.tail == mounted.ident or not request.tail and request.body == b"all"):
        mounted.end("it was unmounted")
    if board.files and request.tail:
        board.files.cancel(request.tail)
    if board.receiver and not request.tail:
        await board.receiver.cancel()
    await request.reply(b"OK")
