"""Images for a network that is measured by name: of a data set or of a folder, made to fit what the network takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from resperturb.errors import SubjectError, in_one_line
from resperturb.experiment.experiment import DATASETS, TEST_IMAGES, Experiment
from resperturb.training.data import load_images

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}
# What trained weights for photographs expect (ImageNet's mean and deviation per channel), unless a network says so.
IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
USUAL_SAMPLES = 256
USUAL_SIZE = 224  # pixels; of photographs, for networks that do not say


@dataclass(frozen=True)
class Pictures:
    """Images for one network, in batches as even as they go: an untrained batch norm takes its statistics of each.

    Iterating gives float32 tensors (N, channels, size, size), the same ones in the same order every time.
    """

    source: Tensor | list[Path]  # images (N, C, H, W), standardised, or files
    channels: int
    size: int
    batch_size: int
    mean: tuple[float, ...] = IMAGENET_MEAN
    deviation: tuple[float, ...] = IMAGENET_DEVIATION

    @property
    def samples(self) -> int:
        return len(self.source)

    def __len__(self) -> int:
        return -(-self.samples // self.batch_size)

    def __iter__(self) -> Iterator[Tensor]:
        for part in np.array_split(np.arange(self.samples), len(self)):
            images = (
                self.source[part[0] : part[-1] + 1]
                if isinstance(self.source, Tensor)
                else torch.stack([self.read(self.source[index]) for index in part])
            )
            yield to_channels(resized(images, self.size), self.channels)

    def read(self, path: Path) -> Tensor:
        """A file as (3, size, size): its shorter side brought to `size`, the middle cut out, standardised."""
        from PIL import Image, ImageOps

        try:
            with Image.open(path) as file:
                image = ImageOps.fit(file.convert("RGB"), (self.size, self.size), Image.Resampling.BILINEAR)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise SubjectError(f"image {path} cannot be read: {in_one_line(error)}.") from error
        pixels = torch.from_numpy(np.asarray(image, dtype=np.float32).transpose(2, 0, 1) / 255)
        mean, deviation = torch.tensor(self.mean), torch.tensor(self.deviation)
        return (pixels - mean[:, None, None]) / deviation[:, None, None]


def resized(images: Tensor, size: int) -> Tensor:
    if images.shape[-2:] == (size, size):
        return images
    return nn.functional.interpolate(images, (size, size), mode="bilinear", antialias=True, align_corners=False)


def to_channels(images: Tensor, channels: int) -> Tensor:
    """Grey images repeated over the channels, or colour averaged to grey. (N, C, H, W) to (N, channels, H, W)."""
    if channels == 1:
        return images.mean(dim=1, keepdim=True)
    return images[:, torch.arange(channels) % images.shape[1]]


def load_pictures(
    data: str, model: nn.Module, *, samples: int | None = None, batch_size: int = 32, size: int | None = None
) -> Pictures:
    """Images that fit a network: resized, and repeated to (or averaged over) the channels its first convolution takes.

    Args:
        data: "digits", "mnist" or "cifar10" (test images, standardised), or a folder of images (searched with its
            subfolders, standardised as the network's configuration says, else with ImageNet's mean and deviation).
        model: the network.
        samples: how many images, picked by a shuffle that never changes; None for 256, or all where there are fewer.
        batch_size: images at once, at most.
        size: side in pixels; None for what the network says of itself (224 for torchvision's), else the data's own
            (224 for a folder).

    Raises:
        SubjectError: no such data or folder, no or too few images in it, or a bad number.
        DataError: a data set is missing or damaged.
    """
    for name, value in (("samples", samples), ("batch-size", batch_size), ("size", size)):
        if value is not None and value < 1:
            raise SubjectError(f"{name} must be at least 1, but got {value}.")
    config = getattr(model, "pretrained_cfg", None) or {}  # timm's
    own_size = getattr(model, "image_size", None) or (config.get("input_size") or (None,))[-1]
    if not isinstance(own_size, int):
        own_size = USUAL_SIZE if type(model).__module__.startswith("torchvision.models.") else None
    source: Tensor | list[Path]
    if data in DATASETS:
        count = checked(samples, TEST_IMAGES[data], f"test images that {data} has")
        source = load_images(
            Experiment(dataset=data, train_size=2, batch_size=2, test_size=count, measured_images=count)
        ).test_images
        usual, own_channels = own_size or source.shape[-1], source.shape[1]
    else:
        files = image_files(Path(data))
        count = checked(samples, len(files), f"images in {data}")
        source = [files[index] for index in np.random.default_rng(0).permutation(len(files))[:count]]
        usual, own_channels = own_size or USUAL_SIZE, 3
    convolution = next((m for m in model.modules() if isinstance(m, nn.Conv2d)), None)
    return Pictures(
        source,
        channels=convolution.in_channels if convolution is not None else own_channels,
        size=size or usual,
        batch_size=batch_size,
        mean=tuple(config.get("mean") or IMAGENET_MEAN),
        deviation=tuple(config.get("std") or IMAGENET_DEVIATION),
    )


def checked(samples: int | None, there: int, of_what: str) -> int:
    if samples is not None and samples > there:
        raise SubjectError(f"samples must be at most {there}, the {of_what}, but got {samples}.")
    return samples or min(there, USUAL_SAMPLES)


def image_files(folder: Path) -> list[Path]:
    """The images of a folder and its subfolders, in the order of their paths."""
    if not folder.is_dir():
        raise SubjectError(f"data must be {', '.join(DATASETS)} or a folder of images, but {folder} is neither.")
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not files:
        raise SubjectError(f"there are no images in {folder} (files ending in {', '.join(sorted(SUFFIXES))}).")
    return files
