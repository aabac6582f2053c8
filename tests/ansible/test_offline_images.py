"""The state of an offline image depends on the recipe in its label."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

PLUGIN = Path(__file__).resolve().parents[2] / "offline/roles/offline_images/filter_plugins/image_states.py"
LABEL = "raft-testbed.recipe"


def states(images: list[dict]) -> list[str]:
    specification = importlib.util.spec_from_file_location("image_states", PLUGIN)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    catalogue = [{"name": "registry:2"}]
    return [entry["state"] for entry in module.image_states(catalogue, ["abc"], images, LABEL)]


@pytest.mark.parametrize(
    ("labels", "state"),
    [
        ({LABEL: "abc"}, "current"),
        ({LABEL: "older"}, "outdated"),
        ({"maintainer": "another"}, "other"),
        (None, "other"),
    ],
)
def test_the_state_depends_on_the_label(labels: dict | None, state: str) -> None:
    image = {"RepoTags": ["localhost:5001/registry:2", "registry:2"], "Config": {"Labels": labels}}
    assert states([image]) == [state]


def test_an_image_of_another_name_is_absent() -> None:
    assert states([]) == ["absent"]
    assert states([{"RepoTags": ["registry:3"], "Config": {"Labels": {LABEL: "abc"}}}]) == ["absent"]
