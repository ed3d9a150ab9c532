"""Images for a network that is measured by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from resperturb.errors import ExternalError
from resperturb.models.external import load_model
from resperturb.training.external_data import load_pictures


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five images of several sizes and modes, in subfolders."""
    for index, mode in enumerate(("RGB", "L", "RGBA", "P", "RGB")):
        place = tmp_path / "images" / str(index % 2)
        place.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(index).integers(0, 255, (40 + index, 60, 3), dtype=np.uint8)
        Image.fromarray(pixels).convert(mode).save(place / f"{index}.png")
    (tmp_path / "images" / "notes.txt").write_text("no image")
    return tmp_path / "images"


def test_images_fit_what_the_network_takes() -> None:
    grey, colour = nn.Conv2d(1, 2, 3), nn.Conv2d(3, 2, 3)
    digits = load_pictures("digits", nn.Linear(64, 2), samples=7, batch_size=3)
    assert [tuple(batch.shape) for batch in digits] == [(3, 1, 8, 8), (2, 1, 8, 8), (2, 1, 8, 8)]
    repeated = torch.cat(list(load_pictures("digits", colour, samples=7)))
    assert torch.equal(repeated, torch.cat(list(digits)).expand(7, 3, 8, 8))
    large = next(iter(load_pictures("digits", grey, samples=2, size=20)))
    assert large.shape == (2, 1, 20, 20)
    assert large.mean(dim=(2, 3)) == pytest.approx(next(iter(digits))[:2].mean(dim=(2, 3)), abs=0.05)
    assert sum(map(len, load_pictures("digits", grey))) == 256
    photographs = load_pictures("digits", load_model("torchvision:resnet18"))
    assert photographs.dataset[0].shape == (3, 224, 224)


def test_a_folder_of_images(folder: Path) -> None:
    found = load_pictures(str(folder), nn.Conv2d(3, 2, 3), batch_size=2, size=16)
    images = torch.cat(list(found))
    assert images.shape == (5, 3, 16, 16)
    assert torch.equal(images, torch.cat(list(found)))
    assert images.abs().max() < 3
    assert load_pictures(str(folder), nn.Conv2d(1, 2, 3), samples=3).dataset[0].shape == (1, 224, 224)
    grey = next(iter(load_pictures(str(folder), nn.Conv2d(1, 2, 3), size=16)))
    assert grey == pytest.approx(images.mean(dim=1, keepdim=True), abs=1e-6)
    (folder / "broken.jpg").write_text("no image")
    with pytest.raises(ExternalError, match=r"broken.jpg cannot be read"):
        list(load_pictures(str(folder), nn.Conv2d(3, 2, 3), size=16))
    with pytest.raises(ExternalError, match="samples must be at most 6, the images in"):
        load_pictures(str(folder), nn.Conv2d(3, 2, 3), samples=7)


def test_a_network_that_writes_over_its_input_gets_the_same_images_again() -> None:
    found = load_pictures("digits", nn.Conv2d(1, 2, 3), samples=4)
    before = next(iter(found)).clone()
    next(iter(found)).zero_()
    assert torch.equal(next(iter(found)), before)
