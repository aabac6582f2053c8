"""What the images are built from, and which of them have to be built."""

import hashlib
import json
from pathlib import PurePath
from typing import Any


def recipe_digest(parts: list[str], files: list[dict[str, Any]], root: str, constants: dict[str, Any]) -> str:
    """Digest of the files below the directories `parts` of `root`, with their modes, and of the parts' constants."""
    recipe: list[Any] = [[part, constants.get(part)] for part in parts]
    for file in files:
        path = PurePath(file["path"]).relative_to(root)
        if path.parts[0] in parts:
            recipe.append([str(path), file["mode"], file["checksum"]])
    return hashlib.sha256(json.dumps(sorted(recipe), sort_keys=True).encode()).hexdigest()


def image_states(
    catalogue: list[dict[str, Any]], digests: list[str], images: list[dict[str, Any]], label: str
) -> list[dict[str, Any]]:
    """The catalogue with each image's digest and `state`: absent, current, outdated, or other (not built by us)."""
    recipes_by_name = {
        name: (image["Config"].get("Labels") or {}).get(label) for image in images for name in image["RepoTags"]
    }
    states = []
    for entry, digest in zip(catalogue, digests, strict=True):
        recipe = recipes_by_name.get(entry["name"], "absent")
        state = {"absent": "absent", None: "other", digest: "current"}.get(recipe, "outdated")
        states.append({**entry, "digest": digest, "state": state})
    return states


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"recipe_digest": recipe_digest, "image_states": image_states}
