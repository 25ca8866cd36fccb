"""Says where firmware comes from: an in-toto Statement with SLSA's provenance in it.

`Provenance` is what a build knows of itself, and what is read back from a statement whose signature
is good. A reader takes what it needs and is strict about it: what kind of statement it is, and the
names and digests of what it is about. Times and the builder stand here and not in images: they
differ from build to build.

Sources: in-toto Statement v1 (spec/v1/statement.md); SLSA Build Provenance v1.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mqhost.attest.strict import Fail, Types, failing, fields, is_hex, parse

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:mqboard:build:1"
APP, FLASH, SBOM = SUBJECTS = ("app.bin", "flash.bin", "sbom.cdx.json")

_SHA256 = (64,)
_COMMIT = range(4, 65)  # some digits of SHA-1, or all of SHA-256


@dataclass(frozen=True)
class Dependency:
    """Something that a build took in: its name, where it is, digests, and what else is known."""

    name: str
    uri: str
    digest: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """Return the ResourceDescriptor; nothing empty is in it."""
        parts = {"digest": dict(self.digest), "annotations": dict(self.notes)}
        return {"name": self.name, "uri": self.uri} | {k: v for k, v in parts.items() if v}


@dataclass(frozen=True)
class Provenance:
    """Where one build's files come from.

    `subjects`: SHA-256 in hex by the names of SUBJECTS. `project`: whether it is a user's project,
    which adds to MQBoard's firmware. `commit`: of that, or of MQBoard; full where git told, ""
    without git; `changed`: whether files differed from it. `micropython`: the name of a release, or
    "checkout" for a folder of somebody's own. `keys`: the PEM texts of the public keys that were
    frozen; `sdkconfig`: local options, lines by the file they were in. `builder` is the URI of who
    built; `how`: native or docker. `started` and `finished` in RFC 3339. `tools`: versions by name.
    """

    subjects: Mapping[str, str]
    board: str
    version: str
    project: bool
    commit: str
    changed: bool
    micropython: str
    builder: str
    how: str
    keys: tuple[str, ...] = ()
    sdkconfig: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    dependencies: tuple[Dependency, ...] = ()
    tools: Mapping[str, str] = field(default_factory=dict)
    started: str = ""
    finished: str = ""
    invocation: str = ""

    def to_bytes(self) -> bytes:
        """Return the statement: compact JSON, keys in one order."""
        record = {
            "_type": STATEMENT,
            "subject": [
                {"name": name, "digest": {"sha256": digest}}
                for name, digest in self.subjects.items()
            ],
            "predicateType": PREDICATE,
            "predicate": {
                "buildDefinition": {
                    "buildType": BUILD_TYPE,
                    "externalParameters": {
                        "board": self.board,
                        "version": self.version,
                        "project": self.project,
                        "commit": self.commit,
                        "changed": self.changed,
                        "micropython": self.micropython,
                        "keys": list(self.keys),
                        "sdkconfig": {name: list(lines) for name, lines in self.sdkconfig.items()},
                    },
                    "internalParameters": {"builder": self.how},
                    "resolvedDependencies": [one.record() for one in self.dependencies],
                },
                "runDetails": {
                    "builder": {"id": self.builder, "version": dict(self.tools)},
                    "metadata": {
                        "invocationId": self.invocation,
                        "startedOn": self.started,
                        "finishedOn": self.finished,
                    },
                },
            },
        }
        return json.dumps(record, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, data: bytes, where: str) -> "Provenance":
        """Read a statement whose signature was found good; ProofError if it is another kind of one,
        or is about other files than a build's."""
        fail = failing(where)
        types: Types = {"_type": str, "subject": list, "predicateType": str, "predicate": dict}
        kind, subjects, predicate_type, predicate = fields(parse(data, where), types, fail)
        if kind != STATEMENT:
            fail(f"holds a statement of the kind {kind!r:.60}, not {STATEMENT}")
        if predicate_type != PREDICATE:
            fail(f"holds {predicate_type!r:.60}, not provenance ({PREDICATE})")
        definition, run = fields(predicate, {"buildDefinition": dict, "runDetails": dict}, fail)
        types = {"buildType": str, "externalParameters": dict, "internalParameters": dict}
        types = {**types, "resolvedDependencies": list}
        build_type, outer, inner, dependencies = fields(definition, types, fail)
        if build_type != BUILD_TYPE:
            fail(f"tells of a build of the kind {build_type!r:.60}, not {BUILD_TYPE}")
        builder, metadata = fields(run, {"builder": dict, "metadata": dict}, fail)
        texts = ("board", "version", "commit", "micropython")
        board, version, commit, micropython = fields(outer, dict.fromkeys(texts, str), fail)
        if commit and not is_hex(commit, _COMMIT):
            fail(f"names the commit {commit!r:.60}, which cannot be one")
        types = {"project": bool, "changed": bool, "keys": list, "sdkconfig": dict}
        project, changed, keys, sdkconfig = fields(outer, types, fail)
        times = ("invocationId", "startedOn", "finishedOn")
        invocation, started, finished = fields(metadata, dict.fromkeys(times, str), fail)
        tools = builder.get("version", {})
        return cls(
            subjects=_subjects(subjects, fail),
            board=board,
            version=version,
            project=project,
            commit=commit,
            changed=changed,
            micropython=micropython,
            builder=fields(builder, {"id": str}, fail)[0],
            how=fields(inner, {"builder": str}, fail)[0],
            keys=_texts(keys, fail),
            sdkconfig={
                name: _texts(fields(sdkconfig, {name: list}, fail)[0], fail) for name in sdkconfig
            },
            dependencies=tuple(_dependency(one, fail) for one in dependencies),
            tools=dict(zip(tools, fields(tools, dict.fromkeys(tools, str), fail), strict=True)),
            started=started,
            finished=finished,
            invocation=invocation,
        )


def _subjects(listed: list[Any], fail: Fail) -> dict[str, str]:
    """Return the digests by name; the names are those of a build, each once."""
    found: dict[str, str] = {}
    for one in listed:
        name, digest = fields(one, {"name": str, "digest": dict}, fail, exactly=True)
        if name not in SUBJECTS:
            fail(f"is about {name!r:.60}, which is no file of a build ({', '.join(SUBJECTS)})")
        if name in found:
            fail(f"names {name} twice")
        (sha256,) = fields(digest, {"sha256": str}, fail)
        if not is_hex(sha256, _SHA256):
            fail(f"gives {name} a SHA-256 that cannot be one: {sha256!r:.80}")
        found[name] = sha256
    missing = [name for name in SUBJECTS if name not in found]
    if missing:
        fail(f"says nothing of {missing[0]}")
    return found


def _dependency(record: Any, fail: Fail) -> Dependency:
    name, uri = fields(record, {"name": str, "uri": str}, fail)
    rest = {"digest": {}, "annotations": {}} | record
    digest, notes = fields(rest, {"digest": dict, "annotations": dict}, fail)
    values = fields(digest, dict.fromkeys(digest, str), fail)
    return Dependency(name, uri, dict(zip(digest, values, strict=True)), notes)


def _texts(items: list[Any], fail: Fail) -> tuple[str, ...]:
    if not all(type(item) is str for item in items):
        fail("is not made as it should be: a list holds something that is no text")
    return tuple(items)
