"""Defines `mqboard verify`: who made an image, from what; and whether that gives the same again."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mqhost.artifacts.bundle import APP, SBOM
from mqhost.artifacts.opened import Opened, open_evidence
from mqhost.attest.check import Verdict, check
from mqhost.cli.edge import FILE, Edge, json_option
from mqhost.cli.terminal.tables import Listing, show
from mqhost.errors import ProofError, UsageError
from mqhost.flash.sigblock import signed_by
from mqhost.signing.keys import PublicKey, known_keys, parse_public_keys

if TYPE_CHECKING:
    from mqhost.attest.statement import Provenance

_SAME = "the same, byte for byte"
_SAME_SIGNED = _SAME + ", but for its signature for secure boot, which has chance in it"


def verdict_listing(verdict: Verdict, rebuilt: str = "", secure_boot: str = "") -> Listing:
    """List what is proven; `rebuilt`: what building it again gave, if that was done; `secure_boot`:
    the key that the image is signed with for its chip."""
    found = verdict.provenance
    # Where there is no commit everything counts as changed: there is nothing to differ from.
    changed = ", and files that differ from it" if found.changed and found.commit else ""
    facts = (
        ("verified", f"{found.board} {found.version}"),
        ("commit", (found.commit or "none, it was no git checkout") + changed),
        ("signed by key", verdict.key.id),
        ("built by", found.builder),
        ("built", f"{found.finished}, {found.how}, MicroPython {found.micropython}"),
        ("from", "; ".join(_named(found))),
        ("these files", ", ".join(verdict.proven)),
        ("not here", ", ".join(verdict.absent)),
        ("secure boot", secure_boot and f"signed for the chip, with key {secure_boot[:16]}"),
        ("offer", "signed by a trusted key, too" if verdict.offer else ""),
        ("not proven", ", ".join(verdict.rest)),
        ("built again", rebuilt),
    )
    return Listing(
        ("", ""),
        ([row for row in facts if row[1]],),
        _record(verdict, rebuilt) | {"secure_boot": secure_boot},
        prose={1},
    )


def _named(found: "Provenance") -> list[str]:
    """Return what was built from, each once, with the beginning of its digest if it has one."""
    said: dict[str, str] = {}
    for one in found.dependencies:
        digest = next(iter(one.digest.values()), "")
        said.setdefault(one.name, f"{one.name} ({digest[:12]})" if digest else one.name)
    return list(said.values())


def _record(verdict: Verdict, rebuilt: str) -> dict[str, Any]:
    """Return the same for scripts."""
    found = verdict.provenance
    return {
        "verified": True,
        "board": found.board,
        "version": found.version,
        "commit": found.commit,
        "changed": found.changed,
        "key": verdict.key.id,
        "builder": found.builder,
        "how": found.how,
        "started": found.started,
        "finished": found.finished,
        "micropython": found.micropython,
        "subjects": dict(found.subjects),
        "proven": list(verdict.proven),
        "absent": list(verdict.absent),
        "unproven": list(verdict.rest),
        "offer_signed": verdict.offer,
        "dependencies": [one.record() for one in found.dependencies],
        "rebuilt": bool(rebuilt),
    }


@click.command("verify")
@click.argument("image", type=click.Path(path_type=Path))
@click.option(
    "--key",
    "pems",
    metavar="PEM",
    multiple=True,
    type=FILE,
    help="File with public keys to trust, and no others; may be repeated.  [this machine's]",
)
@click.option("--rebuild", is_flag=True, help="Also build its commit again, and compare.")
@click.option("--builder", help="For --rebuild: native or docker.  [what it was built with]")
@click.option(
    "--micropython",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="For --rebuild: the MicroPython checkout, if it was built with one.",
)
@json_option
@click.pass_obj
def verify_command(
    edge: Edge,
    image: Path,
    pems: tuple[Path, ...],
    rebuild: bool,
    builder: str | None,
    micropython: Path | None,
    as_json: bool,
) -> None:
    """Say which commit, key and builder made IMAGE, proven by a signature, or fail with code 5.

    IMAGE is an app.bin or flash.bin, the folder that it is in, or a bundle's zip file. What proves
    it is provenance.json beside it, signed by one of the keys of this machine (invoke keys), of
    MQBOARD_PUBLIC_KEYS, or of --key. Nothing is asked of a network. With --rebuild the commit is
    built anew in a temporary folder, by its own code, and must give the same bytes.

    \b
    Examples:
      mqboard verify build/esp32/app.bin
      mqboard verify firmware-esp32.v1.2.0.zip --key release.pub.pem
      mqboard verify build/esp32 --rebuild
    """
    opened = open_evidence(image)
    verdict = check(opened.files, trusted(pems), opened.where)
    said = ""
    signed = signed_by(opened.files.get(APP, b""))
    if rebuild:
        _rebuild(opened, verdict, builder, micropython)
        said = _SAME_SIGNED if signed else _SAME
    show(edge.console, verdict_listing(verdict, said, signed), as_json)


def trusted(pems: Sequence[Path]) -> list[PublicKey]:
    """Return the keys in these files, or those that this machine knows if there are none."""
    if not pems:
        return known_keys()
    found: list[PublicKey] = []
    for path in pems:
        try:
            found += parse_public_keys(path.read_text(), str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"The key {path} cannot be read: {error}.") from error
    return found


def _rebuild(
    opened: Opened, verdict: Verdict, builder: str | None, micropython: Path | None
) -> None:
    """Build again, and compare; ProofError with where the first difference is."""
    # Only a checkout has what these need.
    from mqhost.attest.compare import compare
    from mqhost.attest.sbom import read_parts
    from mqhost.build.evidence.locate import locate
    from mqhost.build.evidence.rebuild import rebuild
    from mqhost.cli.tasks.show import progress
    from mqhost.flash.sigblock import unsigned

    if APP not in opened.files:
        raise UsageError(
            f"{opened.where} has no {APP}, which what is built again is compared with."
        )
    with progress() as report:
        built = rebuild(
            verdict.provenance, builder=builder, micropython=micropython, progress=report
        )
    parts = []
    for data in (opened.files.get(SBOM), built.sbom):
        with contextlib.suppress(ProofError):
            parts.append(read_parts(data, SBOM)[2] if data else [])
    modules = [part.name for part in parts[-1] if part.kind == "file"] if parts else []

    def name(offset: int) -> str:
        return locate(built.traces, built.app, offset, modules)

    old, new = parts if len(parts) == 2 and all(parts) else ([], [])
    difference = compare(unsigned(opened.files[APP]), unsigned(built.app), old, new, name)
    if difference:
        raise ProofError(
            f"{opened.where}: commit {verdict.provenance.commit[:8]} does not give this {APP} "
            f"here: {difference.sentence()}."
        )
