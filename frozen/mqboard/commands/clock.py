"""Sets the clock to an operator's time, which is trusted as an NTP server's is."""

import mqbuild


async def answer(board, request):
    """Set the clock to the body, in seconds since 1970: not before this firmware was made."""
    try:
        now = int(str(request.body, "utf-8"))
    except ValueError:
        await request.error(b"clock: the time must be a number of seconds since 1970")
        return
    if now < mqbuild.BUILD_TIME:
        await request.error(b"clock: that was before this firmware was made")
        return
    board.clock.set(now, "operator", board.client.connects)
    board.clock.due_in = 0  # so that it is kept
    board.log.info("clock set by an operator")
    await request.reply(b"OK")
