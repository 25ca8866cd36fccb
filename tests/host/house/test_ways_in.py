"""Tests that nothing new listens to the broker on a board without a word on who may speak to it."""

import ast

from mqhost.paths import FROZEN

# What is listened to, and why nobody without auth.key can do harm there (docs/security.md).
WAYS = {
    "board.py": {
        "commands": "the router's guard asks for a tag",
        "mqwire.status_topic(self.config.prefix)": "it only learns of another board",
        "self.config.prefix + '/repl/in'": "it stays off where there is a key",
    },
    "power/power.py": {
        "waiting.topic(self._board.config.prefix)": "it keeps a board awake that sleeps, no more",
    },
    "twins.py": {"mqwire.command_filter(own)": "goes to the router, and so to its guard"},
    "update/receiver.py": {
        "topic": "the offer, a command, has the hashes of all blocks",
        "self._topic": "the same",
    },
}


def subscriptions(path):
    """Return the topics that a module subscribes to, as it writes them."""
    return {
        ast.unparse(node.args[0])
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("subscribe", "_subscribe")
        and node.args
    }


def test_every_way_into_a_board_wants_a_tag_or_can_do_without():
    root = FROZEN / "mqboard"
    found = {
        str(path.relative_to(root)): subscriptions(path)
        for path in root.rglob("*.py")
        if "mqtt" not in path.relative_to(root).parts[0]  # the client alone, and mqtt_as
    }
    assert {name: set(ways) for name, ways in WAYS.items()} == {
        name: ways for name, ways in found.items() if ways
    }
