"""Takes images, once they are checked, and lists them."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from starlette.datastructures import UploadFile
from starlette.responses import JSONResponse

from mqhost.fleet.server.api.common import TheFleet, quick
from mqhost.fleet.server.door.auth import Looking, Updating
from mqhost.fleet.server.working.uploads import MOST, checked
from mqhost.signing.offer import Offer

router = APIRouter(prefix="/api/images", tags=["images"])
_Sha = Annotated[str, Path(pattern="^[0-9a-f]{64}$", description="Its whole SHA-256.")]
_FILES = 5  # that a build makes
_BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "required": ["files"],
                "properties": {
                    "files": {
                        "type": "array",
                        "description": "app.bin, image.json and image.sig of a build, or a bundle "
                        "of CI.",
                    }
                },
            }
        }
    },
}


@router.get("")
def list_images(fleet: TheFleet, user: Looking) -> Any:
    """List the images that boards can be updated to, the last one first."""
    found = fleet.store.images()
    return JSONResponse([_record(offer) | {"added_at": at} for offer, at in found])


@router.post("", max_body_size=MOST, openapi_extra={"requestBody": _BODY})
async def add_image(request: Request, fleet: TheFleet, user: Updating) -> Any:
    """Add an image: it is checked against its offer, and the offer against its signature, if this
    machine knows the key."""
    # The form is read here, once it is known who asks: it is large.
    async with request.form(max_files=_FILES, max_fields=_FILES) as form:
        files = [one for one in form.getlist("files") if isinstance(one, UploadFile)]
        given = {file.filename or "": await file.read() for file in files}
    offer, app = await quick(checked, given)
    await quick(fleet.store.add_image, offer, app)
    what = f"image {offer.board} {offer.version}"
    await quick(fleet.note, user, what[:200], None, f"kept {offer.sha256}")
    return JSONResponse(_record(offer), 201)


@router.delete("/{sha256}")
def remove_image(fleet: TheFleet, user: Updating, sha256: _Sha) -> Any:
    """Remove an image that no rollout has."""
    fleet.store.remove_image(sha256)
    fleet.note(user, "image", None, f"removed {sha256}")
    return JSONResponse({"removed": sha256})


def _record(offer: Offer) -> dict[str, Any]:
    names = ("sha256", "board", "mcu", "version", "seq", "size", "key")
    return {name: getattr(offer, name) for name in names} | {"signed": bool(offer.signature)}
