"""Finds the images of a rollout: paths as people give them go in, offers with their app images come
out, one for each type of board.
"""

from collections.abc import Iterable
from pathlib import Path

from mqhost.artifacts.bundle import board_of, read_bundle
from mqhost.errors import UsageError
from mqhost.signing.offer import Offer, load_image
from mqhost.update.store import APP, ImageStore, is_digits, remember

Image = tuple[Offer, bytes]
_BUNDLE = ".zip"


def find_images(paths: Iterable[Path]) -> list[Image]:
    """Return what is at `paths`, each image once. A path is an app.bin with its image.json beside
    it, the folder of a build, a bundle of CI, the first digits of the SHA-256 of an image in the
    local store, or a folder of several: that of all builds, or of a release with its bundles.

    All are kept in the local store: what boards run tomorrow is what differences are made to then.
    Raises UsageError or BundleError for what is none, and if nothing is there.
    """
    found: dict[tuple[str, str], Image] = {}
    for path in paths:
        for offer, app in _at(path):
            found.setdefault((offer.board, offer.sha256), (offer, app))
    if not found:
        raise UsageError("No image is given, so there is nothing to roll out. Name its app.bin.")
    for offer, app in found.values():
        remember(app, offer)
    return list(found.values())


def is_image(text: str) -> bool:
    """Return whether `text` names an image, and not boards: by what there is on this machine, or
    by how its name ends."""
    if Path(text).exists() or Path(text).suffix in (_BUNDLE, Path(APP).suffix):
        return True
    return is_digits(text) and ImageStore().has(text)


def _at(path: Path) -> list[Image]:
    if path.is_dir():
        return _in_folder(path)
    if path.suffix == _BUNDLE:
        return [_bundled(path)]
    if not path.exists() and is_digits(str(path)):
        path = ImageStore().find(str(path))
    return [load_image(path)]


def _in_folder(folder: Path) -> list[Image]:
    """Return the image in `folder`, or those in its folders and bundles."""
    if (folder / APP).exists():
        return [load_image(folder / APP)]
    builds = [load_image(path) for path in sorted(folder.glob(f"*/{APP}"))]
    bundles = [path for path in sorted(folder.glob(f"*{_BUNDLE}")) if board_of(path.name)]
    found = builds + [_bundled(path) for path in bundles]
    if not found:
        raise UsageError(
            f"{folder} has no {APP} in it, nor folders with one, nor bundles of CI "
            "(firmware-BOARD.vVERSION.zip)."
        )
    return found


def _bundled(path: Path) -> Image:
    """Return the image of a bundle, whatever that file is called."""
    try:
        bundle = read_bundle(path, board_of(path.name))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
    return bundle.offer.signed(bundle.signature or b""), bundle.app
