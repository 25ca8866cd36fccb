"""Keeps an application in one file, a package, made where its folder and the key are: it can be
deployed from elsewhere, and nobody on the way can change it.

A package is a zip archive: `manifest.json`, byte for byte as boards get it, `manifest.sig`, its
signature, if there is one, and the application's files below `files/`. What comes out of one was
checked: it is what the manifest says, and the signature is right as far as its key is known here.
"""

import hashlib
import io
import json
import zipfile
import zlib

from mqhost.deploy.application import Application
from mqhost.errors import UsageError
from mqhost.signing.keys import known_keys
from mqwire import WireError, app

MANIFEST, SIGNATURE, FILES = "manifest.json", "manifest.sig", "files/"
LARGEST = 8 * 1024 * 1024  # bytes of all files: the filesystem of a board is hardly larger
_MOST_FILES = 2000
_LARGEST_MANIFEST = 512 * 1024
_TIME = (1980, 1, 1, 0, 0, 0)  # the same application makes the same package


def pack(application: Application) -> bytes:
    """Return the package of an application. UsageError if it is too large for one."""
    if application.size > LARGEST:
        raise UsageError(
            f"{application.label} has {application.size:,} B; {LARGEST:,} B are the most in a "
            "package."
        )
    entries = {MANIFEST: application.manifest}
    if application.signature:
        entries[SIGNATURE] = application.signature
    entries |= {FILES + path: data for path, data in application.files.items()}
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(zipfile.ZipInfo(name, _TIME), data, zipfile.ZIP_DEFLATED)
    return made.getvalue()


def unpack(data: bytes) -> Application:
    """Return the application in a package; UsageError for what is none, damaged, or too large."""
    entries = _entries(data)
    if MANIFEST not in entries:
        raise UsageError(
            f"That is no package of an application: {MANIFEST} is not in it. Make one with: "
            "mqboard deploy DIR --pack FILE"
        )
    manifest, signature = entries.pop(MANIFEST), entries.pop(SIGNATURE, b"")
    try:
        record = json.loads(manifest)
        name, version, key = (str(record[word]) for word in ("name", "version", "key"))
        listed = {str(path): (size, sha256) for path, size, sha256 in record["files"]}
        if len(listed) < len(record["files"]):
            raise ValueError("a file is listed twice")
        good = record["kind"] == app.KIND and record["format"] == app.FORMAT
        for word in (name, version):
            app.check_word(word)
        for path in listed:
            app.check_path(path)
    except (ValueError, KeyError, TypeError, RecursionError, WireError) as error:
        raise UsageError(f"The manifest in the package makes no sense: {error!s:.100}.") from error
    if not good:
        raise UsageError("The package is of another version of mqboard, or of something else.")
    files = {path: entries.pop(FILES + path, b"") for path in listed}
    for path, found in files.items():
        if listed[path] != (len(found), hashlib.sha256(found).hexdigest()):
            raise UsageError(f"{path} in the package is not what its manifest says: pack it again.")
    if entries:
        raise UsageError(f"{min(entries)!r:.80} is in the package, and not in its manifest.")
    _check_signature(manifest, signature, key)
    return Application(name, version, manifest, signature, files)


def _check_signature(manifest: bytes, signature: bytes, key: str) -> None:
    known = {one.id: one for one in known_keys()}
    if signature and key in known and not known[key].signed(manifest, signature):
        raise UsageError(f"The package is not signed with key {key}, which its manifest names.")
    if key and not signature:
        raise UsageError(f"The package names key {key}, and its signature is missing: pack again.")


def _entries(data: bytes) -> dict[str, bytes]:
    """Return what is in the archive, by name, within bounds."""
    found: dict[str, bytes] = {}
    left = LARGEST + _LARGEST_MANIFEST
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = archive.infolist()
            if len(infos) > _MOST_FILES or len({info.filename for info in infos}) < len(infos):
                raise UsageError("The package has too many files, or one of them twice.")
            for info in infos:
                with archive.open(info) as file:
                    found[info.filename] = file.read(left + 1)
                left -= len(found[info.filename])
                if left < 0:
                    raise UsageError(f"The package has more than {LARGEST:,} B in it.")
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError) as error:
        raise UsageError(f"That is no package of an application, or damaged: {error}.") from error
    except RuntimeError as error:  # a password
        raise UsageError(f"The package cannot be read: {error!s:.100}.") from error
    return found
