"""Load scikit-learn's digits, MNIST and CIFAR-10, checked and standardised, as tensors on the device.

Files lie in the folder named by the environment variable RESPERTURB_DATA, else in a per-user cache, laid out as
torchvision lays them out. MNIST: LeCun, Cortes and Burges. CIFAR-10: Krizhevsky, "Learning Multiple Layers of Features
from Tiny Images", 2009. Digits: Alpaydin and Kaynak, UCI repository, as shipped with scikit-learn.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten

import numpy as np
import torch
from torch import Tensor

from resperturb.errors import DataError
from resperturb.experiment.experiment import Experiment

# The bytes of the originals. torchvision checks the archives it downloads but not MNIST's unpacked files.
MD5 = {
    "mnist": {
        "MNIST/raw/train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "MNIST/raw/train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "MNIST/raw/t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "MNIST/raw/t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    },
    "cifar10": {
        "cifar-10-batches-py/data_batch_1": "c99cafc152244af753f735de768cd75f",
        "cifar-10-batches-py/data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "cifar-10-batches-py/data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "cifar-10-batches-py/data_batch_4": "634d18415352ddfa80567beed471001a",
        "cifar-10-batches-py/data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "cifar-10-batches-py/test_batch": "40351d587109b95175f43aff81a1287e",
        "cifar-10-batches-py/batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
    },
}
TORCHVISION_NAME = {"mnist": "MNIST", "cifar10": "CIFAR10"}


@dataclass(frozen=True)
class Images:
    """Standardised images and their labels.

    Shapes: train_images (N, C, H, W) float32 with mean 0 and standard deviation 1 per channel over the training images
    that the data set has; train_labels (N,) int64; test_images and test_labels likewise.
    """

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor

    @property
    def channels(self) -> int:
        return self.train_images.shape[1]


def data_folder() -> Path:
    """RESPERTURB_DATA, else resperturb/data in the user's cache folder (XDG_CACHE_HOME, ~/.cache)."""
    if named := os.environ.get("RESPERTURB_DATA"):
        try:
            return Path(named).expanduser()
        except RuntimeError:
            raise DataError(f"RESPERTURB_DATA must be a folder, but got {named!r}, whose user is unknown.") from None
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "resperturb" / "data"


def load_images(experiment: Experiment, device: torch.device | str = "cpu") -> Images:
    """The experiment's images on `device`: the first train_size and test_size of a shuffle that never changes.

    Every run of a data set sees the same test images in the same order, so runs can be compared image by image.

    Raises:
        DataError: files are missing and cannot be downloaded, or are damaged.
    """
    if experiment.dataset == "digits":
        arrays = read_digits()
    else:
        folder = data_folder()
        fetch(experiment.dataset, folder)
        check_files(experiment.dataset, folder)
        arrays = read_torchvision(experiment.dataset, folder)
    train, train_labels, test, test_labels = arrays
    mean, deviation = channel_moments(train)

    def prepared(images: np.ndarray, labels: np.ndarray, size: int) -> tuple[Tensor, Tensor]:
        chosen = np.random.default_rng(0).permutation(len(images))[:size]
        standardised = (images[chosen].astype(np.float32) - mean) / deviation
        return torch.from_numpy(standardised).to(device), torch.from_numpy(labels[chosen]).to(device)

    return Images(
        *prepared(train, train_labels, experiment.train_size),
        *prepared(test, test_labels, experiment.test_size),
    )


def channel_moments(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each channel: (N, C, H, W) to two of (1, C, 1, 1), float32.

    Summed in float64 over 1000 images at a time: a whole data set as float64 would take gigabytes.
    """
    total = squares = np.zeros((1, images.shape[1], 1, 1))
    for start in range(0, len(images), 1000):
        part = images[start : start + 1000].astype(np.float64)
        total = total + part.sum(axis=(0, 2, 3), keepdims=True)
        squares = squares + (part**2).sum(axis=(0, 2, 3), keepdims=True)
    count = images.size / images.shape[1]
    mean = total / count
    return mean.astype(np.float32), np.sqrt(squares / count - mean**2).astype(np.float32)


Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # train images, labels, test images, labels


def read_digits() -> Arrays:
    """1797 images of 8x8 pixels, always split alike: 360 for the test, stratified by class."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 1, 8, 8).astype(np.float32)
    train, test, train_labels, test_labels = train_test_split(
        images, labels.astype(np.int64), test_size=360, random_state=0, stratify=labels
    )
    return train, train_labels, test, test_labels


def read_torchvision(dataset: str, folder: Path) -> Arrays:
    import torchvision.datasets

    read = getattr(torchvision.datasets, TORCHVISION_NAME[dataset])
    parts: list[np.ndarray] = []
    for train in (True, False):
        part = read(folder, train=train, download=False)
        images = np.asarray(part.data)
        images = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)  # to (N, C, H, W)
        parts += [np.ascontiguousarray(images), np.asarray(part.targets, dtype=np.int64)]
    return parts[0], parts[1], parts[2], parts[3]


def missing_files(dataset: str, folder: Path) -> list[str]:
    return [name for name in MD5[dataset] if not (folder / name).is_file()]


def fetch(dataset: str, folder: Path) -> None:
    """Download missing files by torchvision, into a folder beside, and move them when they are complete."""
    missing = missing_files(dataset, folder)
    if not missing:
        return
    import torchvision.datasets

    staging = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".download-", dir=folder))
        getattr(torchvision.datasets, TORCHVISION_NAME[dataset])(staging, download=True)
        for name in missing:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (staging / name).replace(folder / name)
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"{dataset} is not in {folder} and could not be downloaded ({shorten(str(error), 160)}); missing are "
            f"{', '.join(missing)}: put them there, or set RESPERTURB_DATA to the folder that holds them."
        ) from None
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)


def check_files(dataset: str, folder: Path) -> None:
    """Compare every file with the MD5 of the original."""
    from torchvision.datasets.utils import check_integrity

    for name, md5 in MD5[dataset].items():
        if not check_integrity(folder / name, md5):
            raise DataError(
                f"data file {folder / name} is damaged: its MD5 is not the original's {md5}; delete it, and it will be"
                " downloaded again."
            )


def augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Shift each image by up to an eighth of its side (padding with zeros) and mirror half of them.

    The usual CIFAR-10 augmentation (He et al. 2015, section 4.2). Shapes: (N, C, H, W) to the same, on any device;
    `generator` lives on the processor, so the same seed gives the same images everywhere.
    """
    count, _, height, width = images.shape
    reach = height // 8
    shift = torch.randint(0, 2 * reach + 1, (2, count), generator=generator)
    mirror = torch.rand(count, generator=generator) < 0.5
    rows = torch.arange(height) + shift[0, :, None]  # (N, H): row of the padded image that each row shows
    columns = torch.arange(width) + shift[1, :, None]  # (N, W)
    columns = torch.where(mirror[:, None], columns.flip(1), columns)
    padded = torch.nn.functional.pad(images, (reach,) * 4)
    device = images.device
    sample = torch.arange(count, device=device)[:, None, None]
    picked = padded[sample, :, rows.to(device)[:, :, None], columns.to(device)[:, None, :]]  # (N, H, W, C)
    return picked.permute(0, 3, 1, 2)
