"""Runs coroutines of a module side by side as if they were one."""

import asyncio


async def together(*coroutines):
    """Await all of them; when one fails, or this is cancelled, the others are cancelled, too."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        await asyncio.gather(*tasks)
    finally:  # asyncio's gather leaves the others alone when one fails
        for task in tasks:
            if not task.done():
                task.cancel()
