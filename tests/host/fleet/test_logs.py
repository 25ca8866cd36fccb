"""Tests what is made of a line that a board logged, whatever it is."""

from hypothesis import given
from hypothesis import strategies as st

from mqhost.fleet.logs import LogLine
from mqwire.config import LOG_LEVELS

SIGNS = st.sampled_from(["D", "I", "E", "X", " ", "1", ".", ":", ": ", "a", "\n", "\r", "é"])


def test_a_loggers_line_is_taken_apart():
    line = LogLine.of("farm/pump", b"W 2026-05-01T12:00:00Z task: it is: late\r\n")
    assert line.record() == {
        "prefix": "farm/pump",
        "level": "warning",
        "time": "2026-05-01T12:00:00Z",
        "logger": "task",
        "message": "it is: late",
    }
    assert line.data.endswith(b"\r\n")
    assert [level for level in LOG_LEVELS if line.at_least(level)] == ["debug", "info", "warning"]


@given(st.binary(max_size=40) | st.lists(SIGNS).map("".join).map(str.encode))
def test_any_line_is_one_of_a_loggers_or_all_message(data):
    line = LogLine.of("p", data)
    text = data.decode("utf-8", "replace").rstrip("\r\n")
    if line.level is None:
        assert line.message == text and line.at_least("error")
    else:
        assert text.startswith(line.level[0].upper() + " ")
        assert text.endswith(f"{line.logger}: {line.message}")
