"""Published networks for CIFAR-10: architecture, and weights by address and checksum.

Architecture: He et al., "Deep Residual Learning for Image Recognition" (arXiv 1512.03385), section 4.2: three sections
of post-activation blocks of widths 16, 32 and 64, with shortcuts without parameters (option A). Weights: Y. Idelbayev,
"Proper ResNet Implementation for CIFAR10/CIFAR100 in PyTorch", github.com/akamaster/pytorch_resnet_cifar10, BSD
2-clause; 200 epochs, weight decay 1e-4. Layers have the names of these files.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, relu

from resperturb.errors import DataError

ADDRESS = "https://raw.githubusercontent.com/akamaster/pytorch_resnet_cifar10/d5489e8/pretrained_models"
FOLDER = "checkpoints/pytorch_resnet_cifar10"  # in the data folder
# By name: additions in each section, and the first digits of the file's SHA-256.
NETWORKS = {
    "resnet20": (3, "12fca82f"),
    "resnet32": (5, "d509ac18"),
    "resnet44": (7, "014dd654"),
    "resnet56": (9, "4bfd9763"),
}
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, used to standardise inputs


class PublishedBlock(nn.Module):
    """A post-activation block relu(s(x) + f(x)), (N, inputs, H, W) to (N, outputs, H/stride, W/stride).

    The shortcut s is the identity; between sections it takes every second pixel and fills new channels with zeros.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.widened = outputs - inputs
        stride = 2 if self.widened else 1
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)

    def branch(self, x: Tensor) -> Tensor:
        return self.bn2(self.conv2(relu(self.bn1(self.conv1(x)))))

    def shortcut(self, x: Tensor) -> Tensor:
        half = self.widened // 2
        return pad(x[:, :, ::2, ::2], (0, 0, 0, 0, half, half)) if self.widened else x

    def forward(self, x: Tensor) -> Tensor:
        return relu(self.shortcut(x) + self.branch(x))


class PublishedNetwork(nn.Module):
    """ResNet-(6n + 2) for CIFAR-10: 3n additions, two of them transitions. (N, 3, 32, 32) to (N, 10)."""

    def __init__(self, each: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        for number, (inputs, outputs) in enumerate(itertools.pairwise((16, 16, 32, 64)), start=1):
            blocks = [PublishedBlock(inputs if index == 0 else outputs, outputs) for index in range(each)]
            setattr(self, f"layer{number}", nn.Sequential(*blocks))
        self.linear = nn.Linear(64, 10)

    def blocks(self) -> list[PublishedBlock]:
        """Return all additions in order, transitions included."""
        return [block for block in self.modules() if isinstance(block, PublishedBlock)]

    def stem(self, images: Tensor) -> Tensor:
        return relu(self.bn1(self.conv1(images)))

    def forward(self, images: Tensor) -> Tensor:
        x = self.stem(images)
        for block in self.blocks():
            x = block(x)
        return self.linear(x.mean(dim=(2, 3)))


def load_published(name: str, folder: Path) -> PublishedNetwork:
    """Load a network of :data:`NETWORKS` in evaluation mode; download missing weights to `folder` and check them.

    Raises:
        DataError: weights are missing and cannot be downloaded.
    """
    each, digest = NETWORKS[name]
    path = folder / FOLDER / f"{name}-{digest}.th"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(f"{ADDRESS}/{path.name}", str(path), hash_prefix=digest, progress=False)
        except (OSError, RuntimeError) as error:
            raise DataError(f"the weights {path} are missing and cannot be downloaded ({error}).") from None
    network = PublishedNetwork(each)
    stored = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    network.load_state_dict({key.removeprefix("module."): value for key, value in stored.items()})
    return network.eval()
