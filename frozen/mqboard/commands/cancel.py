"""Ends the update that is under way, if there is one."""


async def answer(board, request):
    """Cancel; answer OK in any case."""
    if board.receiver:
        await board.receiver.cancel()
    await request.reply(b"OK")
