"""Networks by name: of torchvision, of timm or of a Python file, and trained weights for them.

Images for them are in `resperturb.training.external_data`.
"""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from torch import nn

from resperturb.errors import ExternalError, ResperturbError
from resperturb.experiment.validation import nearest

FORMS = "torchvision:NAME, timm:NAME or path/to/file.py:function"
NESTED = ("state_dict", "model_state_dict", "model", "net")  # where training scripts put the weights in a checkpoint
WRAPPERS = ("module.", "_orig_mod.")  # what DataParallel and torch.compile put before every name


@contextmanager
def one_sentence(action: str, file: str = "") -> Iterator[None]:
    """Turn any exception in the code of others into an ExternalError of one sentence, which begins with the action.

    Of the user's own file, the last line in the call stack is named.
    """
    try:
        yield
    except ResperturbError:
        raise
    except (Exception, SystemExit) as error:
        lines = [
            f.lineno for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).name == Path(file).name
        ]
        place = f" (line {lines[-1]} of {file})" if lines else ""
        reason = shorten(str(error), 300).rstrip(".")
        raise ExternalError(f"{action} failed: {type(error).__name__}: {reason}{place}.") from error


def load_model(spec: str, size: int | None = None) -> nn.Module:
    """The network that `spec` names, with weights drawn from seed 0, in evaluation mode.

    Args:
        spec: "torchvision:NAME", "timm:NAME", or "path/to/file.py:function", where the function takes no arguments
            and returns an `nn.Module` (whose weights may be trained already). Nothing is downloaded for the first two.
        size: side of the images in pixels; None for the network's own. Vision transformers are built for it.

    Raises:
        ExternalError: no such network, package, file or function, or it returns no module.
    """
    source, _, name = spec.rpartition(":")
    if not name or not (source in ("torchvision", "timm") or source.endswith(".py")):
        raise ExternalError(f"{spec!r} names no network; write {FORMS}.")
    with torch.random.fork_rng(devices=[]), one_sentence(f"building {spec}", source):
        torch.manual_seed(0)
        if source == "torchvision":
            model = from_torchvision(name, size)
        elif source == "timm":
            model = from_timm(name, size)
        else:
            model = from_file(Path(source), name)
    return model.eval()


def check_known(name: str, known: Iterable[str], where: str) -> None:
    """Refuse a name that is not among those known, with the nearest one."""
    known = list(known)
    if name not in known:
        near = nearest(name, known)
        hint = f"did you mean {near}?" if near else f"there are {shorten(', '.join(known), 200, placeholder=' ...')}."
        raise ExternalError(f"{where} {name!r}; {hint}")


def from_torchvision(name: str, size: int | None) -> nn.Module:
    from torchvision import models

    check_known(name, models.list_models(module=models), "torchvision has no classification network")
    model = models.get_model(name, weights=None)
    if size in (None, getattr(model, "image_size", size)):
        return model
    return models.get_model(name, weights=None, image_size=size)


def from_timm(name: str, size: int | None) -> nn.Module:
    try:
        import timm
    except ImportError:
        raise ExternalError(f"timm:{name} needs timm, which is not installed: pip install timm.") from None
    network = name.split(".")[0]  # after the point comes the name of trained weights
    check_known(network, timm.list_models(), "timm has no network")
    model = timm.create_model(name, pretrained=False)
    if size is None or getattr(getattr(model, "patch_embed", None), "img_size", None) in (None, (size, size)):
        return model
    return timm.create_model(name, pretrained=False, img_size=size)


def from_file(path: Path, name: str) -> nn.Module:
    """The module that a function of a Python file returns, or that it holds under that name."""
    if not path.is_file():
        raise ExternalError(f"there is no file {path}.")
    known_as = f"resperturb_file_{path.stem}"  # never the name of an installed package
    location = importlib.util.spec_from_file_location(known_as, path)
    assert location is not None
    assert location.loader is not None
    module = sys.modules[known_as] = importlib.util.module_from_spec(location)  # dataclasses and pickle look there
    sys.path.insert(0, str(path.resolve().parent))  # its neighbours can be imported from it
    location.loader.exec_module(module)
    check_known(name, [key for key, value in vars(module).items() if callable(value)], f"{path} has no function")
    made = getattr(module, name)
    model = made if isinstance(made, nn.Module) else made()
    if not isinstance(model, nn.Module):
        raise ExternalError(f"{name} of {path} returned a {type(model).__name__}, but must return a torch.nn.Module.")
    return model


def load_weights(model: nn.Module, file: Path | str) -> None:
    """Put trained weights into a network, in place; every name and shape must fit.

    The file is of safetensors, or of torch.save and holds tensors alone: a state_dict, or a checkpoint with one under
    "state_dict", "model_state_dict", "model" or "net". No code in it is run.
    """
    weights = read_weights(Path(file))
    try:
        model.load_state_dict(weights, strict=True)
    except (RuntimeError, TypeError) as error:
        reason = shorten(str(error).partition("\n")[2] or str(error), 300, placeholder=" ...")
        raise ExternalError(f"{file} does not fit {type(model).__name__}: {reason.rstrip('.')}.") from error


def read_weights(path: Path) -> Any:
    """The state_dict in a file, without the wrappers' prefixes."""
    if not path.is_file():
        raise ExternalError(f"there is no file of weights {path}.")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            weights: Any = load_file(path)
        else:
            weights = torch.load(path, map_location="cpu", weights_only=True)
    except ImportError:
        raise ExternalError(f"{path} needs safetensors, which is not installed: pip install safetensors.") from None
    except Exception as error:
        raise ExternalError(
            f"{path} cannot be read as tensors ({type(error).__name__}); save model.state_dict() with torch.save, or as"
            " safetensors."
        ) from error
    if not isinstance(weights, Mapping):
        return weights
    weights = next((weights[key] for key in NESTED if isinstance(weights.get(key), Mapping)), weights)
    if not all(isinstance(name, str) for name in weights):
        raise ExternalError(f"{path} must hold tensors by the names of parameters; save model.state_dict().")
    for prefix in WRAPPERS:
        nn.modules.utils.consume_prefix_in_state_dict_if_present(weights, prefix)
    return weights
