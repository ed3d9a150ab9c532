"""Data: what is read, how it is prepared, and what is said when files are missing or damaged."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from resperturb.errors import DataError
from resperturb.experiment import Experiment
from resperturb.training import data
from resperturb.training.data import augment, channel_moments, check_files, data_folder, load_images


def real_folder(dataset: str) -> Path:
    folder = data_folder()
    if data.missing_files(dataset, folder):
        pytest.skip(f"{dataset} is not in {folder}; set RESPERTURB_DATA to test on the real files")
    return folder


def link_mnist(folder: Path) -> None:
    shutil.copytree(real_folder("mnist").resolve() / "MNIST", folder / "MNIST", copy_function=os.symlink)


def test_digits_are_standardised_and_split_once_and_for_all() -> None:
    images = load_images(Experiment(seed=0))
    again = load_images(Experiment(seed=5, blocks=9))
    assert images.train_images.shape == (1437, 1, 8, 8)
    assert images.test_images.shape == (360, 1, 8, 8)
    assert torch.equal(images.test_images, again.test_images)
    assert images.train_images.mean().abs() < 1e-5
    assert (images.train_images.std() - 1).abs() < 1e-3
    assert images.train_labels.unique().tolist() == list(range(10))
    rows = {row.tobytes() for row in images.train_images.flatten(1).numpy()}
    assert rows.isdisjoint(row.tobytes() for row in images.test_images.flatten(1).numpy()), "a test image is trained on"


def test_a_smaller_train_size_takes_the_first_of_the_same_shuffle() -> None:
    whole, part = load_images(Experiment()), load_images(Experiment(train_size=100, test_size=300))
    assert torch.equal(part.train_images, whole.train_images[:100])
    assert torch.equal(part.test_labels, whole.test_labels[:300])


@pytest.mark.parametrize("count", [1, 999, 1000, 2300])
def test_moments_summed_in_parts_are_those_of_the_whole(count: int) -> None:
    images = np.random.default_rng(count).integers(0, 256, (count, 3, 4, 5), dtype=np.uint8)
    mean, deviation = channel_moments(images)
    assert mean.shape == deviation.shape == (1, 3, 1, 1)
    assert mean.dtype == deviation.dtype == np.float32
    np.testing.assert_allclose(mean, images.mean(axis=(0, 2, 3), keepdims=True), rtol=1e-6)
    np.testing.assert_allclose(deviation, images.std(axis=(0, 2, 3), keepdims=True), rtol=1e-6)


@pytest.mark.parametrize(("dataset", "shape"), [("mnist", (1, 28, 28)), ("cifar10", (3, 32, 32))])
def test_the_real_files_are_read_and_standardised(dataset: str, shape: tuple[int, ...]) -> None:
    real_folder(dataset)
    images = load_images(Experiment(dataset=dataset, train_size=5000, test_size=500))
    assert images.train_images.shape == (5000, *shape)
    assert images.test_images.shape == (500, *shape)
    assert images.train_images.mean(dim=(0, 2, 3)).abs().max() < 0.05  # of a sample: the whole set's is 0
    assert (images.train_images.std(dim=(0, 2, 3)) - 1).abs().max() < 0.05
    counts = torch.bincount(images.train_labels, minlength=10)
    assert counts.min() > 400


@pytest.mark.parametrize("damage", [lambda content: content[:1000], lambda content: content[:-1] + b"x"])
def test_a_damaged_file_is_named(
    damage: Callable[[bytes], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Torchvision itself does not check MNIST's unpacked files: a changed byte would train another data set."""
    link_mnist(tmp_path)
    path = tmp_path / "MNIST/raw/t10k-labels-idx1-ubyte"
    content = path.read_bytes()
    path.unlink()  # the link
    path.write_bytes(damage(content))
    monkeypatch.setenv("RESPERTURB_DATA", str(tmp_path))
    with pytest.raises(DataError, match="t10k-labels-idx1-ubyte is damaged: its MD5 is not the original's 27ae"):
        load_images(Experiment(dataset="mnist"))


def test_a_failed_download_says_what_is_missing_and_where_to_put_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torchvision.datasets

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("Error downloading train-images-idx3-ubyte.gz")

    monkeypatch.setattr(torchvision.datasets, "MNIST", refuse)
    monkeypatch.setenv("RESPERTURB_DATA", str(tmp_path / "data"))
    with pytest.raises(DataError) as caught:
        load_images(Experiment(dataset="mnist"))
    message = str(caught.value)
    assert "MNIST/raw/train-images-idx3-ubyte" in message
    assert str(tmp_path / "data") in message
    assert "RESPERTURB_DATA" in message
    assert list((tmp_path / "data").iterdir()) == []  # nothing half-downloaded stays


def test_a_download_lands_whole_and_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The download itself, from a stand-in for the server: torchvision's class, which writes into its root."""
    import torchvision.datasets

    def download(root: Path, download: bool) -> None:
        assert download
        link_mnist(root)

    monkeypatch.setattr(torchvision.datasets, "MNIST", download)
    data.fetch("mnist", tmp_path / "cache")
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["MNIST"]
    check_files("mnist", tmp_path / "cache")


def test_the_folder_is_the_variables_or_the_users_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESPERTURB_DATA", "/somewhere")
    assert data_folder() == Path("/somewhere")
    monkeypatch.delenv("RESPERTURB_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert data_folder() == Path("/cache/resperturb/data")


def test_augmentation_shifts_and_mirrors_without_inventing_pixels() -> None:
    images = torch.arange(1.0, 1 + 16 * 16).reshape(1, 1, 16, 16).repeat(200, 1, 1, 1)
    moved, again = (augment(images, torch.Generator().manual_seed(0)) for _ in range(2))
    assert torch.equal(moved, again)  # the generator alone decides
    assert moved.shape == images.shape
    assert set(moved.unique().tolist()) <= {0.0, *images.unique().tolist()}
    # Every result is one of the 25 shifts of the image or of its mirror, computed here by slicing.
    padded = torch.nn.functional.pad(images[0, 0], (2, 2, 2, 2))
    shifts = [padded[r : r + 16, c : c + 16] for r in range(5) for c in range(5)]
    allowed = {s.numpy().tobytes() for shift in shifts for s in (shift, shift.flip(1).contiguous())}
    seen = {image[0].contiguous().numpy().tobytes() for image in moved}
    assert seen <= allowed
    assert len(seen) > 40
