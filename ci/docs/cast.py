"""Makes a moving picture of a program in a terminal: an SVG that any browser plays, over and over.

    run_in_terminal → Recording: what is shown, and when → clips: a line, its row, from and until
                    → SVG with one element for each clip, shown in its time by CSS

Pauses are cut short, so that nobody waits for a compiler. Who wants no motion, or has a viewer that
knows none, sees the last picture.
"""

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from rich.style import Style
from rich.terminal_theme import SVG_EXPORT_THEME
from rich.text import Text

from ci.docs.terminal import Screen

PACE = 2.0  # how much slower than it was: the simulated board is faster than people read
LONGEST = 1.6  # seconds that nothing happens in the picture, however long it was
SHORTEST = 0.1  # between two pictures: what is shorter is shown with the next
END = 6.0  # seconds for the last picture
_SIZE, _WIDTH, _HEIGHT = 16, 9.6, 21  # of the font; of a character; of a line
_MARGIN, _BAR = 12, 34
_FAMILY = "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
_FORM = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}">
<title>{title}</title>
<style>
text {{ font: {size}px {family}; white-space: pre }}
.c {{ visibility: hidden }}
.e {{ visibility: visible }}
{rules}
@media (prefers-reduced-motion: reduce) {{ .c {{ animation: none !important }} }}
</style>
<rect width="100%" height="100%" rx="8" fill="{background}"/>
<circle cx="20" cy="17" r="6" fill="#ff5f57"/><circle cx="40" cy="17" r="6" fill="#febc2e"/>
<circle cx="60" cy="17" r="6" fill="#28c840"/>
{clips}
</svg>
"""


class Recording:
    """What a screen showed, and when: `heard` is called after each piece that it was fed."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self.pictures: list[tuple[float, list[Text]]] = []

    def heard(self, when: float) -> None:
        """Note what is shown `when` seconds after the start."""
        if self.pictures and when - self.pictures[-1][0] < SHORTEST:
            when = self.pictures.pop()[0]
        self.pictures.append((when, self._screen.lines))


@dataclass
class Clip:
    """A line of text in a row of the screen, seen from one second until another."""

    row: int
    text: Text
    start: float
    end: float


def clips_of(pictures: Sequence[tuple[float, list[Text]]]) -> tuple[list[Clip], float]:
    """Return the clips of a recording, and how many seconds it lasts."""
    clips: list[Clip] = []
    seen: dict[int, Clip] = {}
    for start, end, lines in _paced(pictures):
        for row in [row for row in seen if row >= len(lines)]:
            del seen[row]
        for row, text in enumerate(lines):
            known = seen.get(row)
            if known and known.text == text and known.text.spans == text.spans:
                known.end = end
            elif text.plain:
                seen[row] = Clip(row, text, start, end)
                clips.append(seen[row])
            else:
                seen.pop(row, None)
    return clips, max((clip.end for clip in clips), default=0.0)


def _paced(
    pictures: Sequence[tuple[float, list[Text]]],
) -> Iterator[tuple[float, float, list[Text]]]:
    """Yield each picture with its start and end, pauses cut short."""
    now = 0.0
    for (when, lines), (then, _) in pairwise(pictures):
        end = now + min(LONGEST, PACE * (then - when))
        yield now, end, lines
        now = end
    for _, lines in pictures[-1:]:
        yield now, now + END, lines


def animate(pictures: Sequence[tuple[float, list[Text]]], columns: int, title: str) -> str:
    """Return a recording as an SVG."""
    clips, seconds = clips_of(pictures)
    rows = 1 + max(clip.row for clip in clips)
    rules, drawn = [], []
    for number, clip in enumerate(clips):
        start, end = 100 * clip.start / seconds, 100 * clip.end / seconds
        steps = f"{start:.2f}%{{visibility:visible}}"
        if start:
            steps = "0%{visibility:hidden}" + steps
        if clip.end < seconds:
            steps += f"{end:.2f}%{{visibility:hidden}}"
        whole = not start and clip.end == seconds
        if not whole:
            rules.append(f"@keyframes k{number}{{{steps}}}")
            rules.append(f"#c{number}{{animation:k{number} {seconds:.2f}s step-end infinite}}")
        kind = "c e" if clip.end == seconds else "c"
        baseline = _BAR + clip.row * _HEIGHT + _SIZE
        spans = "".join(_spans(clip.text))
        drawn.append(f'<text id="c{number}" class="{kind}" y="{baseline}">{spans}</text>')
    return _FORM.format(
        width=2 * _MARGIN + columns * _WIDTH,
        height=_BAR + rows * _HEIGHT + _MARGIN,
        title=html.escape(title),
        size=_SIZE,
        family=_FAMILY,
        background=SVG_EXPORT_THEME.background_color.hex,
        rules="\n".join(rules),
        clips="\n".join(drawn),
    )


def _spans(line: Text) -> Iterator[str]:
    """Yield the pieces of a line that have one colour, each at its place."""
    column = 0
    for piece in line.divide(_borders(line)):
        styles = [Style.parse(str(span.style)) for span in piece.spans]
        style = Style.combine([Style.null(), *styles])
        text = html.escape(piece.plain)
        if text.strip():
            x, length = _MARGIN + column * _WIDTH, len(piece.plain) * _WIDTH
            yield (
                f'<tspan x="{x:g}" textLength="{length:g}" {_paint(style)}>'
                f"{text.replace(' ', chr(160))}</tspan>"
            )
        column += len(piece.plain)


def _borders(line: Text) -> list[int]:
    """Return where the colours of a line change."""
    ends = {offset for span in line.spans for offset in (span.start, span.end)}
    return sorted(ends - {0, len(line)})


def _paint(style: Style) -> str:
    theme = SVG_EXPORT_THEME
    colour = style.color.get_truecolor(theme) if style.color else theme.foreground_color
    bold = ' font-weight="bold"' if style.bold else ""
    italic = ' font-style="italic"' if style.italic else ""
    dim = ' opacity="0.6"' if style.dim else ""
    return f'fill="{colour.hex}"{bold}{italic}{dim}'
