"""Tests applications on the desk: a pytest plugin that gives a test a simulated board of its own.

    def test_the_fan_starts(mqboard_board):
        mqboard_board.publish("greenhouse/temperature", "35")
        assert mqboard_board.wait_message("greenhouse/temperature/fan") == b"1"

`plugin` is what pytest loads, and imports nothing else until a test asks for a board; `firmware`
builds what boards run, once; `world` has a broker and the boards of one test; `board` is what a
test holds in its hands, `application` puts the user's files on it, `messages` hears what is
published. docs/testing.md is the page for people.
"""
