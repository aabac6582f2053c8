"""Compare images of the container engine with their recipes."""

from typing import Any


def image_states(
    catalogue: list[dict[str, Any]], digests: list[str], images: list[dict[str, Any]], label: str
) -> list[dict[str, Any]]:
    """Return the catalogue with the `digest` and `state` of each image.

    The state is absent, current, outdated (another recipe), or other (without the label: not built by this role).
    """
    recipes = {name: (image["Config"].get("Labels") or {}).get(label) for image in images for name in image["RepoTags"]}
    states = []
    for entry, digest in zip(catalogue, digests, strict=True):
        if entry["name"] not in recipes:
            state = "absent"
        elif recipes[entry["name"]] is None:
            state = "other"
        else:
            state = "current" if recipes[entry["name"]] == digest else "outdated"
        states.append({**entry, "digest": digest, "state": state})
    return states


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"image_states": image_states}
