"""Publishes how the board is on <prefix>/sysinfo, every so many seconds: a module of ours."""

import asyncio
import gc
import json

_INTERVAL_S = 60
_LEAST_S = 1


async def start(board, settings):
    """Publish it for ever; `settings` may have `interval_s`."""
    interval_s = (settings or {}).get("interval_s", _INTERVAL_S)
    if not isinstance(interval_s, (int, float)) or interval_s < _LEAST_S:
        raise ValueError("interval_s must be a number, at least %d" % _LEAST_S)
    topic = board.config.prefix + "/sysinfo"
    while True:
        await board.client.up.wait()
        await board.client.publish(topic, json.dumps(facts(board)).encode())
        await asyncio.sleep(interval_s)


def facts(board):
    """Return how `board` is, as a dict."""
    gc.collect()
    return {
        "uptime_s": board.supervisor.seconds,
        "heap_free": gc.mem_free(),
        "heap_used": gc.mem_alloc(),
        "rssi": board.link.rssi(),
        "reconnects": board.client.connects - 1,
        "reset_cause": board.identity.reset_cause,
        "mode": board.identity.mode,
    }
