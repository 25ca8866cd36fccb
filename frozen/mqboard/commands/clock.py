"""Sets the clock to an operator's time, which is trusted as an NTP server's is."""


async def answer(board, request):
    """Set the clock to the body, in seconds since 1970."""
    clock = board.clock
    try:
        clock.set(int(str(request.body, "utf-8")), "operator", board.client.connects)
    except ValueError as error:
        await request.error(b"clock: %s" % str(error).encode())
        return
    clock.due_in = 0  # so that it is kept
    board.log.info("clock set by an operator")
    await request.reply(b"OK")
