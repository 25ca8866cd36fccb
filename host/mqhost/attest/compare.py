"""Tells where two app images begin to differ, in words that lead somewhere: which frozen module,
which part of the image.

The bytes say where: in which segment, at which address. The two SBOMs say of which modules the
source was another; where all of them are the same, it was the compiler or its options.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mqhost.attest.sbom import FILE, Part
from mqhost.flash.espimage import PROGRAM_HASH, Segment, segments

_MOST = 5  # of what the SBOMs say


@dataclass(frozen=True)
class Difference:
    """Where two images differ first: `offset` into the file, how many bytes in all, `place` for
    people; `parts`: what the SBOMs say of it, a sentence each."""

    offset: int
    count: int
    place: str
    parts: tuple[str, ...] = ()

    def sentence(self) -> str:
        """Say it."""
        more = len(self.parts) - _MOST
        said = [*self.parts[:_MOST], *([f"and {more} more"] if more > 0 else [])]
        why = "; ".join(said) or "the lists of their parts are the same: look at the compiler"
        return f"{self.count:,} bytes differ, the first at {self.offset:#x}, in {self.place}: {why}"


def compare(
    given: bytes,
    built: bytes,
    given_parts: Sequence[Part] = (),
    built_parts: Sequence[Part] = (),
    name: Callable[[int], str] = lambda offset: "",
) -> Difference | None:
    """Return how the app image `given` differs from the one that was `built` again, with the parts
    that their SBOMs name; None if they are the same, byte for byte. `name` tells what stands at an
    offset of the one that was built."""
    if given == built:
        return None
    pairs = enumerate(zip(given, built, strict=False))
    places = [offset for offset, (one, other) in pairs if one != other]
    places += range(min(len(given), len(built)), max(len(given), len(built)))
    # The hash of the program comes first in every image, and only says that something follows.
    first = next((offset for offset in places if offset not in PROGRAM_HASH), places[0])
    place = ", ".join(filter(None, (_place(built, first), name(first))))
    return Difference(first, len(places), place, _parts(given_parts, built_parts))


def _place(image: bytes, offset: int) -> str:
    """Say where in `image` that byte is."""
    found = segments(image)
    for segment in found:
        if segment.offset <= offset < segment.offset + segment.size:
            return _name(segment, offset, len(found))
    if found and offset < found[0].offset:
        return "the header"
    if offset >= len(image):
        return "what stands behind its end"
    return "the checksums at its end" if found else "no segment of an app image"


def _name(segment: Segment, offset: int, count: int) -> str:
    inside = offset - segment.offset
    return (
        f"segment {segment.number + 1} of {count}, loaded at {segment.address:#010x}, "
        f"{inside:#x} bytes into it"
    )


def _parts(given: Sequence[Part], built: Sequence[Part]) -> tuple[str, ...]:
    """Return what is not the same in two lists of parts: frozen modules first."""
    one, other = ({part.ref: part for part in parts} for parts in (given, built))
    said = []
    for ref in sorted(one.keys() | other.keys(), key=lambda ref: (not ref.startswith(FILE), ref)):
        old, new = one.get(ref), other.get(ref)
        name = (old or new or Part("", "")).name
        if old is None:
            said.append(f"{name} is missing in the image")
        elif new is None:
            said.append(f"{name} is in the image, and not in the commit")
        elif old.sha256 != new.sha256:
            said.append(f"{name} has other source (SHA-256 {old.sha256[:12]}…, {new.sha256[:12]}…)")
        elif old.version != new.version:
            said.append(f"{name} is {old.version}, and here {new.version}")
    return tuple(said)
