"""Images or text for a network that is measured by name, made to fit the network's input."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from resperturb.errors import ExternalError, shown
from resperturb.experiment.cost import GIB, machine_memory
from resperturb.experiment.experiment import DATASETS, TEST_IMAGES, Experiment
from resperturb.training.data import load_images

# Input of networks without a configuration: photographs as torchvision's trained weights expect them.
IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # per channel
USUAL_SIZE = 224  # pixels
USUAL_SAMPLES, USUAL_SEQUENCES = 256, 64
USUAL_TOKENS = 64  # of a sequence
STATES = 8  # of an image's size that a forward pass holds at once, at the least


@dataclass(frozen=True)
class Pictures(Dataset[Tensor]):
    """Images of one shape, float32 (channels, size, size), from standardised tensors or from files."""

    source: Tensor | list[Path]
    transform: Callable[[Any], Tensor]

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Tensor:
        from torchvision.datasets.folder import default_loader

        image = self.source[index]
        try:
            return self.transform(default_loader(str(image)) if isinstance(image, Path) else image)
        except (OSError, ValueError, SyntaxError) as error:
            raise ExternalError(f"image {image} cannot be read ({type(error).__name__}).") from error


def to_channels(image: Tensor, channels: int) -> Tensor:
    """A grey image repeated over the channels, or colour averaged to grey. (C, H, W) to (channels, H, W)."""
    return image.mean(dim=0, keepdim=True) if channels == 1 else image[torch.arange(channels) % len(image)]


def load_pictures(
    data: str, model: nn.Module, *, samples: int | None = None, batch_size: int = 32, size: int | None = None
) -> DataLoader[Tensor]:
    """Images that fit a network: resized, and repeated to (or averaged over) the channels of its first convolution.

    Args:
        data: "digits", "mnist" or "cifar10" (test images, standardised), or a folder of images (searched with its
            subfolders, standardised as the network's configuration says, else with ImageNet's mean and deviation).
        samples: how many images, picked by a shuffle that never changes; None for 256, or all where there are fewer.
        batch_size: images at once, at most. Batches are as even as possible, since an untrained batch norm takes its
            statistics of each.
        size: side in pixels; None for the network's own (224 for torchvision's), else the data's own (224 for a
            folder).

    Returns:
        Batches (N, channels, size, size), in the same order every time. `.dataset` is the :class:`Pictures`.
    """
    from torchvision.transforms import v2

    check_positive(samples, batch_size, size)
    config = input_config(model)
    own_size = getattr(model, "image_size", None) or (config.get("input_size") or (None,))[-1]
    if not isinstance(own_size, int):
        own_size = USUAL_SIZE if type(model).__module__.startswith("torchvision.models.") else None
    convolution = next((m for m in model.modules() if isinstance(m, nn.Conv2d)), None)
    source: Tensor | list[Path]
    steps: list[Callable[..., Any]]
    if data in DATASETS:
        count = checked_samples(samples, TEST_IMAGES[data], f"test images that {data} has")
        few = Experiment(dataset=data, train_size=2, batch_size=2, test_size=count, measured_images=count)
        source = images = load_images(few).test_images
        side = size or own_size or images.shape[-1]
        steps, own_channels = [v2.Resize((side, side))], images.shape[1]
    else:
        files = image_files(Path(data or os.devnull))  # an empty word names no folder
        count = checked_samples(samples, len(files), f"images in {data}")
        source = [files[index] for index in np.random.default_rng(0).permutation(len(files))[:count]]
        side = size or own_size or USUAL_SIZE
        standardise = v2.Normalize(config.get("mean") or IMAGENET_MEAN, config.get("std") or IMAGENET_DEVIATION)
        crop = [v2.PILToTensor(), v2.Resize(side), v2.CenterCrop(side)]
        steps, own_channels = [*crop, v2.ToDtype(torch.float32, scale=True), standardise], 3
    channels = own_channels if convolution is None else convolution.in_channels
    needed = STATES * 4 * min(batch_size, count) * max(channels, 3) * side**2  # bytes
    if needed > machine_memory():
        raise ExternalError(
            f"size must let a batch fit into {machine_memory() / GIB:.3g} GiB of memory, but {min(batch_size, count)} "
            f"images of size {shown(side)} do not; choose a smaller size or batch-size."
        )
    transform = v2.Compose([*steps, lambda image: to_channels(image, channels)])
    batches = [part.tolist() for part in np.array_split(np.arange(count), -(-count // batch_size))]
    return DataLoader(Pictures(source, transform), batch_sampler=batches)


def check_positive(samples: int | None, batch_size: int, size: int | None) -> None:
    for name, value in (("samples", samples), ("batch-size", batch_size), ("size", size)):
        if value is not None and value < 1:
            raise ExternalError(f"{name} must be at least 1, but got {value}.")


def input_config(model: nn.Module) -> dict[str, Any]:
    """The input_size, mean and std that the network's configuration states, as far as it does."""
    if of_timm := getattr(model, "pretrained_cfg", None):
        return dict(of_timm)
    config = getattr(model, "config", None)  # of transformers
    file = Path(getattr(config, "name_or_path", "") or os.devnull) / "preprocessor_config.json"
    stated = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    size = getattr(config, "image_size", None)
    return {"input_size": (size,), "mean": stated.get("image_mean"), "std": stated.get("image_std")}


def read_text(file: str) -> str:
    """The text of a file; bytes that are not UTF-8 become the replacement character."""
    if not Path(file).is_file():
        raise ExternalError(f"there is no file of text {file}.")
    return Path(file).read_text(encoding="utf-8", errors="replace")


def reads_text(model: nn.Module) -> bool:
    """Whether this is a network of transformers whose first input is token ids."""
    return getattr(model, "main_input_name", None) == "input_ids"


def load_text(
    text: str, model: nn.Module, *, samples: int | None = None, batch_size: int = 32, size: int | None = None
) -> tuple[list[Any], str]:
    """Sequences of a text, evenly spread over it, as token ids.

    Tokens are those of the tokenizer in the network's folder, without special tokens. Without a tokenizer they are the
    UTF-8 bytes, modulo the size of the vocabulary: that of the network's first embedding.

    Args:
        samples: how many sequences, which do not overlap; None for 64, or as many as there are.
        batch_size: sequences at once, at most.
        size: tokens of a sequence; None for 64, or the network's most if that is less.

    Returns:
        Batches, int64 (N, size), as keyword arguments where the network has an encoder and a decoder, which get the
        same tokens; and the form of a sequence, such as "64 bytes".

    Raises:
        ExternalError: no embedding of tokens, or a text of fewer tokens than a sequence.
    """
    check_positive(samples, batch_size, size)
    vocabulary = next((m.num_embeddings for m in model.modules() if isinstance(m, nn.Embedding)), None)
    if vocabulary is None:
        raise ExternalError(f"{type(model).__name__} has no embedding of tokens, so it cannot read text; name --data.")
    config = getattr(model, "config", None)
    folder = Path(getattr(config, "name_or_path", "") or os.devnull)
    if any(folder.glob("tokenizer*")) or any(folder.glob("vocab*")):
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        tokens, unit = tokenizer.encode(text, add_special_tokens=False, verbose=False), "tokens"
    else:
        tokens, unit = list(text.encode()), "bytes"
    size = size or min(USUAL_TOKENS, getattr(config, "max_position_embeddings", None) or USUAL_TOKENS)
    available = len(tokens) // size
    if not available:
        raise ExternalError(f"size must be at most {len(tokens)}, the {unit} of the text, but got {size}.")
    count = checked_samples(samples or min(available, USUAL_SEQUENCES), available, f"sequences of {size} {unit}")
    every = torch.tensor(tokens)[: available * size].reshape(available, size) % vocabulary
    chosen = every[torch.arange(count) * available // count]
    batches = chosen.tensor_split(-(-count // batch_size))
    if getattr(config, "is_encoder_decoder", False):
        return [{"input_ids": ids, "decoder_input_ids": ids} for ids in batches], f"{size} {unit}"
    return list(batches), f"{size} {unit}"


def checked_samples(samples: int | None, available: int, of_what: str) -> int:
    if samples is not None and samples > available:
        raise ExternalError(f"samples must be at most {available}, the {of_what}, but got {samples}.")
    return samples or min(available, USUAL_SAMPLES)


def image_files(folder: Path) -> list[Path]:
    """The images of a folder and its subfolders, in the order of their paths."""
    from torchvision.datasets.folder import IMG_EXTENSIONS

    if not folder.is_dir():
        raise ExternalError(f"data must be {', '.join(DATASETS)} or a folder of images, but {folder} is neither.")
    try:
        files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMG_EXTENSIONS and path.is_file())
    except OSError as error:
        raise ExternalError(f"data must be a folder that can be read, but {folder} is not ({error}).") from None
    if not files:
        raise ExternalError(f"there are no images in {folder} (files ending in {', '.join(sorted(IMG_EXTENSIONS))}).")
    return files
