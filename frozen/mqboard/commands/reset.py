"""Resets the board into the mode that a person asks for: "normal", "safe" or "bootloader".

A reset without a mode is in mqboard.board: it must work when there is no memory for this module.
"""

import machine

import mqwire

_MODES = (b"normal", b"safe", b"bootloader")


async def answer(board, request):
    """Note the mode; reset."""
    mode = bytes(request.body)
    if mode not in _MODES:
        await request.error(b"there is no such mode; there are normal, safe and bootloader")
        return
    end = None
    if mode == b"bootloader":
        end = getattr(machine, "bootloader", None)
        if not end:
            why = "this chip cannot start its bootloader by itself: hold its BOOT button in a reset"
            await request.error((mqwire.REFUSED + why).encode())
            return
    else:
        board.blackbox.want("safe" if mode == b"safe" else "")
    await request.reply(b"OK")
    await board.restart("reset command", end)
