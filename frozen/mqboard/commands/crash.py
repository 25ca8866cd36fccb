"""Tells of the boots that ended badly, and forgets them: the command `crash`.

The body is `list`, `show`, with a number or without (the last one), or `clear`.
"""

import json

_SHORT = ("number", "times", "kind", "running", "mode", "version", "uptime_s", "published")


async def answer(board, request):
    """Answer with one JSON object: all records in short, one whole, or how many were cleared."""
    action, _, number = str(request.body, "utf-8").strip().partition(" ")
    records = board.crash_records()
    if action in ("", "list"):
        await _list(records, request)
    elif action == "show":
        await _show(records, number, request)
    elif action == "clear":
        facts = {"cleared": records.clear()}
        board.identity.crashes = 0
        board.announce()
        await request.reply(json.dumps(facts).encode())
    else:
        await request.error(b"no such action: %s" % action.encode())


async def _list(records, request):
    opening = '{"crashes": ['
    for number in records.numbers():
        record = records.read(number)
        if record:
            facts = {key: record.get(key) for key in _SHORT}
            await request.reply((opening + json.dumps(facts)).encode(), last=False)
            opening = ", "
    await request.reply(("" if opening == ", " else opening).encode() + b"]}")


async def _show(records, number, request):
    numbers = records.numbers()
    if not numbers:
        await request.error(b"no boot has ended badly since this was last cleared")
    elif number and not (number.isdigit() and int(number) in numbers):
        await request.error(b"no crash %s; there are: %s" % (number.encode(), _joined(numbers)))
    else:
        record = records.read(int(number) if number else numbers[-1])
        if record:
            await request.reply(json.dumps(record).encode())
        else:
            await request.error(b"its record is damaged")


def _joined(numbers):
    return ", ".join([str(number) for number in numbers]).encode()
