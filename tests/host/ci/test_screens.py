"""Tests the pictures of the README: the terminal behind them, and those that are in docs/images."""

import re
import sys
from xml.etree import ElementTree

import pytest
from documented import problem
from rich.text import Text

from ci.docs.cast import END, LONGEST, PACE, Recording, animate, clips_of
from ci.docs.screens import DEMO, IMAGES, SHOTS, _write, draw
from ci.docs.terminal import Screen, run_in_terminal
from mqhost.errors import ToolError
from mqhost.paths import ROOT


def shown(*pieces, width=20):
    screen = Screen(width)
    for piece in pieces:
        screen.feed(piece)
    return [line.plain for line in screen.lines]


@pytest.mark.parametrize(
    ("pieces", "lines"),
    [
        ([b"one\r\ntwo\r\n"], ["one", "two"]),
        ([b"10 %\r100 %"], ["100 %"]),
        ([b"abc\b\bX"], ["aXc"]),
        ([b"a\r\nb\r\n\x1b[2A\x1b[2KX\r\n"], ["X", "b"]),
        ([b"abcdef\x1b[3D\x1b[K"], ["abc"]),
        ([b"abcdef\x1b[3G\x1b[1K"], ["   def"]),
        ([b"a\r\nb\r\nc\x1b[2A\r\x1b[J"], [""][:0]),
        ([b"\x1b[?25lhidden\x1b[?25h"], ["hidden"]),
        ([b"\x1b]0;title\x07text"], ["text"]),
        ([b"x" * 25], ["x" * 20, "x" * 5]),
        (["ü→".encode()[:1], "ü→".encode()[1:4], "ü→".encode()[4:]], ["ü→"]),
        ([b"\x1b", b"[3", b"1mred\x1b]0;a", b"b\x07!"], ["red!"]),
    ],
)
def test_a_terminal_shows(pieces, lines):
    assert shown(*pieces) == lines


def test_what_it_does_not_know_it_raises():
    with pytest.raises(ToolError, match="1;2H"):
        shown(b"\x1b[1;2H")
    with pytest.raises(ToolError, match="knows no"):
        shown(b"\x1bM")


def test_colours_are_kept():
    screen = Screen(20)
    screen.feed(b"\x1b[1;31mred\x1b[0m plain")
    (line,) = screen.lines
    (span,) = line.spans
    assert (line.plain[span.start : span.end], str(span.style)) == ("red", "bold color(1)")


def test_a_program_is_run_in_it():
    screen, times = Screen(33), []
    code = "import os; print(os.get_terminal_size().columns); raise SystemExit(3)"
    argv = [sys.executable, "-c", code]
    assert run_in_terminal(argv, screen, environment={}, heard=times.append) == 3
    assert [line.plain for line in screen.lines] == ["33"]
    assert times == sorted(times) and times


def test_somebody_types_in_it():
    screen = Screen(40)
    code = "print('Hello ' + input('Name? ')); print(input('And? ') * 2)"
    typed = [("Name?", "Ada\n"), ("And?", "x\n")]
    argv = [sys.executable, "-c", code]
    assert run_in_terminal(argv, screen, environment={}, typed=typed, timeout=20) == 0
    assert [line.plain for line in screen.lines] == ["Name? Ada", "Hello Ada", "And? x", "xx"]


def test_one_that_does_not_end_is_ended():
    argv = [sys.executable, "-c", "while True: pass"]
    with pytest.raises(ToolError, match="did not end within 0.2 s"):
        run_in_terminal(argv, Screen(80), environment={}, timeout=0.2)


def test_a_picture_is_written_again_only_for_what_is_new(tmp_path):
    path = tmp_path / "a.svg"

    def write(text):
        return _write(path, [Text(text)], lambda: f"<svg>{text}</svg>")

    assert write("sent 1,234 B in 0.2 s of 87d0d5827631f30a to 0.1.0+g3f8dbf58.dirty")
    before = path.read_text()
    assert not write("sent 99 B in 12.5 s of 0123456789ab to 0.2.0+gabcdef01")
    assert path.read_text() == before
    assert write("sent 99 B of 0123456789ab")


def test_a_picture_fetches_nothing():
    text = draw([Text("a <b> & c", "bold red")], "x")
    root = ElementTree.fromstring(text)
    assert "a\xa0<b>\xa0&\xa0c" in "".join(root.itertext())
    assert "url(http" not in text and "https://cdnjs" not in text


def test_a_moving_picture_has_a_clip_for_each_line_and_its_time():
    one, two, three = Text("1 %"), Text("2 %"), Text("done")
    pictures = [(0.0, [three, one]), (0.5, [three, two]), (60.0, [three, two, three])]
    clips, seconds = clips_of(pictures)
    first, pause = PACE * 0.5, LONGEST
    assert [(clip.row, clip.text.plain, clip.start, clip.end) for clip in clips] == [
        (0, "done", 0, first + pause + END),
        (1, "1 %", 0, first),
        (1, "2 %", first, first + pause + END),
        (2, "done", first + pause, first + pause + END),
    ]
    assert seconds == first + pause + END
    text = animate(pictures, 20, "a & b")
    root = ElementTree.fromstring(text)
    lines = [node for node in root if node.tag.endswith("}text")]
    # Without motion the last picture is seen, and only that.
    shown = ["".join(line.itertext()).strip() for line in lines if line.get("class") == "c e"]
    assert shown == ["done", "2\xa0%", "done"]
    assert text.count("@keyframes") == 3


def test_what_follows_at_once_is_one_picture():
    screen = Screen(20)
    recording = Recording(screen)
    for number, when in enumerate((0.0, 0.02, 0.05, 0.3)):
        screen.feed(b"%d\r" % number)
        recording.heard(when)
    seen = [(when, lines[0].plain) for when, lines in recording.pictures]
    assert seen == [(0.0, "2"), (0.3, "3")]


def test_the_moving_picture_of_the_demo_is_there():
    text = (IMAGES / "demo.svg").read_text()
    seen = "".join(ElementTree.fromstring(text).itertext()).replace("\xa0", " ")
    assert DEMO in seen and "What happened" in seen and "@keyframes" in text


@pytest.mark.parametrize("shot", SHOTS, ids=lambda shot: shot.name)
def test_every_picture_is_there(shot):
    text = (IMAGES / f"{shot.name}.svg").read_text()
    seen = "".join(ElementTree.fromstring(text).itertext()).replace("\xa0", " ")
    for line in shot.lines:
        assert line in seen and not problem(line)


def test_the_documents_show_them_with_words_for_who_sees_none():
    readme = (ROOT / "README.md").read_text()
    found = re.findall(r"!\[(.{10,}?)\]\(docs/images/([\w-]+)\.svg\)", readme)
    assert {"demo", "boards", "ota", "crash", "log"} <= {name for _, name in found}
