"""Makes of an application's folder what goes to a board: the manifest, its signature, the files."""

import base64
import hashlib
import json
from dataclasses import dataclass

from mqhost.deploy.folder import Source
from mqhost.deploy.history import History
from mqhost.errors import UsageError
from mqhost.signing.keys import SigningKey
from mqwire import app


@dataclass(frozen=True)
class Application:
    """An application as boards take it. `files`: paths in the order of the manifest, and bytes."""

    name: str
    version: str
    manifest: bytes
    signature: bytes
    files: dict[str, bytes]

    @classmethod
    def make(cls, source: Source, history: History, key: SigningKey | None) -> "Application":
        """Make it of its folder, signed with `key` if there is one.

        UsageError when boards cannot take the settings of its modules.
        """
        files = {path: source.files[path] for path in sorted(source.files, key=app.order)}
        record = {
            "format": app.FORMAT,
            "key": key.public.id if key else "",
            "kind": app.KIND,
            "name": source.name,
            "version": history.version,
            "seq": history.seq,
            "committed": history.committed,
            "modules": source.modules,
            "files": [
                [path, len(data), hashlib.sha256(data).hexdigest()] for path, data in files.items()
            ],
        }
        # `files` stands last, and without spaces: mqwire.app.FILES.
        manifest = json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode()
        beginning = manifest.find(app.FILES)
        if beginning > app.MAX_BEGINNING:
            raise UsageError(
                f"With the settings of its modules the manifest of {source.folder} has "
                f"{beginning:,} B before its list of files; {app.MAX_BEGINNING:,} B is the most. "
                "Put long settings into a file of the application."
            )
        if manifest.count(app.FILES) > 1:
            raise UsageError(
                f"{source.folder}: no setting of a module can be a list of lists called files."
            )
        signature = key.sign(manifest) if key else b""
        return cls(source.name, history.version, manifest, signature, files)

    @property
    def id(self) -> str:
        """Its id on a board."""
        return hashlib.sha256(self.manifest).hexdigest()[: app.ID_SIZE]

    @property
    def label(self) -> str:
        """Its name and version, for people."""
        return f"{self.name} {self.version}"

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(map(len, self.files.values()))

    def body(self, **options: bool) -> bytes:
        """Return the body of the command that offers it."""
        signature = base64.b64encode(self.signature).decode()
        return json.dumps({"id": self.id, "signature": signature} | options).encode()
