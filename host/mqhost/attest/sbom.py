"""Lists what firmware is made of: a software bill of materials in CycloneDX's format.

The firmware itself is the root, with the hash of its app image. `make_sbom` writes it with OWASP's
own library, the same bytes for the same firmware: its serial number comes from the image's hash,
its time is that of the sources. `read_parts` reads it back, and needs no library.
"""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mqhost.attest.licences import NOASSERTION
from mqhost.attest.strict import failing, fields, parse

if TYPE_CHECKING:
    from cyclonedx.model.component import Component

_NAMESPACE = uuid.UUID("3b9d0f3e-5a0e-5d5e-9a53-2f6d0c1b7a10")
_ORIGIN = "mqboard:origin"
_NOTE = "mqboard:note"
# Kinds of parts, in the words of CycloneDX, in the order of the table.
FIRMWARE, FRAMEWORK, LIBRARY, FILE = KINDS = ("firmware", "framework", "library", "file")


@dataclass(frozen=True)
class Part:
    """Something that firmware is made of, or with.

    `kind`: one of KINDS, or "application" for a tool. `licence`: an SPDX expression; `purl` and
    `cpe` are what scanners look vulnerabilities up by; `sha256` in hex; `origin`: whose it is;
    `note`: a sentence for people. What is not known is "".
    """

    kind: str
    name: str
    version: str = ""
    licence: str = ""
    purl: str = ""
    cpe: str = ""
    sha256: str = ""
    origin: str = ""
    note: str = ""

    @property
    def ref(self) -> str:
        """Its name within the bill, by which others refer to it."""
        return f"{self.kind}:{self.name}"


def make_sbom(firmware: Part, parts: Iterable[Part], tools: Iterable[Part], when: int) -> bytes:
    """Return the bill of `firmware`, which is made of `parts` and with `tools`; `when`: the time of
    its sources, Unix seconds."""
    # Slow to load, and not installed where nothing is built.
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.tool import ToolRepository
    from cyclonedx.output.json import JsonV1Dot6

    root = _component(firmware)
    parts = list(parts)
    inside = [_component(part) for part in parts]
    pieces = [one for part, one in zip(parts, inside, strict=True) if part.kind != FILE]
    bom = Bom(
        serial_number=uuid.uuid5(_NAMESPACE, firmware.sha256),
        components=inside,
        metadata=BomMetaData(
            component=root,
            timestamp=datetime.fromtimestamp(when, UTC),
            tools=ToolRepository(components=[_component(tool) for tool in tools]),
        ),
    )
    bom.register_dependency(root, pieces)  # files are in it, and nothing that one could depend on
    return JsonV1Dot6(bom).output_as_string(indent=2).encode() + b"\n"


def _component(part: Part) -> "Component":
    from cyclonedx.model import HashAlgorithm, HashType, Property
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.model.license import DisjunctiveLicense, LicenseExpression
    from packageurl import PackageURL

    licences: list[Any] = []
    if part.licence == NOASSERTION:
        licences = [DisjunctiveLicense(name=NOASSERTION)]
    elif " " in part.licence:
        licences = [LicenseExpression(part.licence)]
    elif part.licence:
        licences = [DisjunctiveLicense(id=part.licence)]
    notes = ((_ORIGIN, part.origin), (_NOTE, part.note))
    return Component(
        type=ComponentType(part.kind),
        name=part.name,
        bom_ref=part.ref,
        version=part.version or None,
        licenses=licences,
        purl=PackageURL.from_string(part.purl) if part.purl else None,
        cpe=part.cpe or None,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=part.sha256)] if part.sha256 else [],
        properties=[Property(name=name, value=value) for name, value in notes if value],
    )


def read_parts(data: bytes, where: str) -> tuple[dict[str, Any], Part, list[Part]]:
    """Return what the bill says, whole; of it the firmware, and its parts in the order of KINDS.

    Raises ProofError, naming `where`, if it is no bill of ours.
    """
    fail = failing(where)
    record = parse(data, where)
    kind, metadata, components = fields(
        record, {"bomFormat": str, "metadata": dict, "components": list}, fail
    )
    if kind != "CycloneDX":
        fail(f"is {kind!r:.40}, not CycloneDX")
    (root,) = fields(metadata, {"component": dict}, fail)

    def part(one: Any) -> Part:
        kind, name = fields(one, {"type": str, "name": str}, fail)
        notes = _by_name(one.get("properties"), "name", "value")
        return Part(
            kind,
            name,
            version=_text(one.get("version")),
            licence=_licence(one.get("licenses")),
            purl=_text(one.get("purl")),
            cpe=_text(one.get("cpe")),
            sha256=_by_name(one.get("hashes"), "alg", "content").get("SHA-256", ""),
            origin=notes.get(_ORIGIN, ""),
            note=notes.get(_NOTE, ""),
        )

    def place(found: Part) -> tuple[int, str]:
        return KINDS.index(found.kind) if found.kind in KINDS else len(KINDS), found.name

    return record, part(root), sorted(map(part, components), key=place)


def _licence(listed: Any) -> str:
    names = []
    for one in listed if isinstance(listed, list) else []:
        if isinstance(one, dict):
            inner = one.get("license")
            inner = inner if isinstance(inner, dict) else {}
            names += [one.get("expression") or inner.get("id") or inner.get("name")]
    return " AND ".join(_text(name) for name in names if name)


def _by_name(listed: Any, key: str, value: str) -> dict[str, str]:
    """Return {key: value} of a list of objects."""
    entries: Sequence[Any] = listed if isinstance(listed, list) else ()
    return {_text(one.get(key)): _text(one.get(value)) for one in entries if isinstance(one, dict)}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
