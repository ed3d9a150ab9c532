"""What can be measured by name: a network of torchvision, of timm or of a file, and trained weights for it.

The images that go with it are in `resperturb.training.external_data`.
"""

from __future__ import annotations

import difflib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from resperturb.errors import PREFIX, ResperturbError, SubjectError, in_one_line

FORMS = "torchvision:NAME, timm:NAME or path/to/file.py:function"
NESTED = ("state_dict", "model_state_dict", "model", "net")  # where training scripts put the weights in a checkpoint
WRAPPERS = ("module.", "_orig_mod.")  # what DataParallel and torch.compile put before every name


def load_model(spec: str, size: int | None = None) -> nn.Module:
    """The network that `spec` names, with weights drawn from seed 0, in evaluation mode.

    Args:
        spec: "torchvision:NAME", "timm:NAME", or "path/to/file.py:function", where the function takes no arguments
            and returns an `nn.Module` (whose weights may be trained already). Nothing is downloaded for the first two.
        size: side of the images in pixels; None for the network's own. Vision transformers are built for it.

    Raises:
        SubjectError: no such network, package, file or function, or what it returns is no module.
    """
    source, _, name = spec.rpartition(":")
    if not source or not name:
        raise SubjectError(f"{spec!r} names no network; write {FORMS}.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if source == "torchvision":
            model = from_torchvision(name, size)
        elif source == "timm":
            model = from_timm(name, size)
        elif source.endswith(".py"):
            model = from_file(Path(source), name)
        else:
            raise SubjectError(f"{spec!r} names no network: {source!r} is no source; write {FORMS}.")
    return model.eval()


def unknown(kind: str, name: str, known: Iterable[str], otherwise: str) -> SubjectError:
    """`otherwise`: what to do where no known name is near."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return SubjectError(f"{kind} {name!r}; " + (f"did you mean {near[0]}?" if near else otherwise))


def from_torchvision(name: str, size: int | None) -> nn.Module:
    from torchvision import models

    known = models.list_models(module=models)  # classification: what takes a tensor of images
    if name not in known:
        raise unknown("torchvision has no classification network", name, known, "see torchvision.models.list_models().")
    model = models.get_model(name, weights=None)
    if size is not None and size != getattr(model, "image_size", size):
        model = built(f"torchvision:{name}", lambda: models.get_model(name, weights=None, image_size=size))
    return model


def from_timm(name: str, size: int | None) -> nn.Module:
    try:
        import timm
    except ImportError:
        raise SubjectError(f"timm:{name} needs timm, which is not installed: pip install timm.") from None
    architecture = name.split(".")[0]  # what follows names trained weights
    if architecture not in (known := timm.list_models()):
        raise unknown("timm has no network", architecture, known, "see timm.list_models().")
    model = built(f"timm:{name}", lambda: timm.create_model(name, pretrained=False))
    fixed = getattr(getattr(model, "patch_embed", None), "img_size", None)
    if size is not None and fixed not in (None, (size, size)):
        model = built(f"timm:{name}", lambda: timm.create_model(name, pretrained=False, img_size=size))
    return model


def from_file(path: Path, name: str) -> nn.Module:
    module = import_file(path)
    made = getattr(module, name, None)
    if made is None:
        own = [k for k, v in vars(module).items() if callable(v) and getattr(v, "__module__", None) == module.__name__]
        listed = f"it defines {', '.join(own)}." if own else "it defines none at all."
        raise unknown(f"{path} has no function", name, own, listed)
    if not isinstance(made, nn.Module):
        if not callable(made):
            raise SubjectError(f"{name} of {path} is a {type(made).__name__}, no function that builds a network.")
        if needed := required(made):
            raise SubjectError(
                f"{name} of {path} needs arguments ({', '.join(needed)}); name a function that builds the network"
                " without any."
            )
        made = built(f"{name} of {path}", made)
    if not isinstance(made, nn.Module):
        raise SubjectError(f"{name} of {path} returned a {type(made).__name__}, but must return a torch.nn.Module.")
    return made


def import_file(path: Path) -> ModuleType:
    """A Python file as a module of its own; its neighbours can be imported from it."""
    if not path.is_file():
        raise SubjectError(f"there is no file {path}.")
    called = f"{PREFIX}{path.stem}"  # never the name of an installed package
    location = importlib.util.spec_from_file_location(called, path)
    assert location is not None
    assert location.loader is not None
    module = importlib.util.module_from_spec(location)
    sys.modules[called] = module  # dataclasses and pickle look there
    sys.path.insert(0, str(path.resolve().parent))
    execute = location.loader.exec_module
    built(str(path), lambda: execute(module))
    return module


def required(function: Callable[..., Any]) -> list[str]:
    """Names of the arguments without a default."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []  # built in: it will say so itself
    return [p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


def built(what: str, make: Callable[[], Any]) -> Any:
    """`make()`; whatever code of others raises becomes one sentence, with the original error as its cause."""
    try:
        return make()
    except ResperturbError:
        raise
    except Exception as error:
        raise SubjectError(f"{what} failed: {in_one_line(error)}.") from error


# ----------------------------------------------------------------------------------------------- weights


def load_weights(model: nn.Module, file: Path | str) -> None:
    """Put trained weights into a network, in place; every name and shape must fit.

    Args:
        model: the network.
        file: safetensors, or a file of torch.save that holds tensors alone: a state_dict, or a checkpoint with one
            under "state_dict", "model_state_dict", "model" or "net". It is read without running code from it.

    Raises:
        SubjectError: the file cannot be read, or does not fit (names the first key that does not).
    """
    path = Path(file)
    weights = read_weights(path)
    own = model.state_dict()
    for key, value in own.items():
        if key not in weights:
            if key.endswith("num_batches_tracked"):
                continue  # files written before PyTorch 0.4.1 have no such counts
            raise SubjectError(f"{path} does not fit {type(model).__name__}: it has no {key}. {hint(weights, own)}")
        if weights[key].shape != value.shape:
            raise SubjectError(
                f"{path} does not fit {type(model).__name__}: {key} is {shape(weights[key])} there and {shape(value)}"
                f" in the network. {hint(weights, own)}"
            )
    if extra := [key for key in weights if key not in own]:
        raise SubjectError(f"{path} does not fit {type(model).__name__}, which has no {extra[0]}. {hint(weights, own)}")
    model.load_state_dict(weights, strict=False)


def shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "a single number"


def hint(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> str:
    fitting = sum(key in weights and weights[key].shape == value.shape for key, value in own.items())
    return (
        f"{fitting} of the network's {len(own)} tensors fit; if the network was changed, build it in a function:"
        " path/to/file.py:function."
    )


def read_weights(path: Path) -> dict[str, Tensor]:
    """Names and tensors of a file, without the wrappers' prefixes."""
    if not path.is_file():
        raise SubjectError(f"there is no file of weights {path}.")
    if path.suffix == ".safetensors":
        try:
            from safetensors.torch import load_file
        except ImportError:
            raise SubjectError(f"{path} needs safetensors, which is not installed: pip install safetensors.") from None
        found: Any = built(f"reading {path}", lambda: load_file(path))
    else:
        found = read_torch(path)
    if isinstance(found, Mapping) and not all(isinstance(value, Tensor) for value in found.values()):
        found = next((found[key] for key in NESTED if isinstance(found.get(key), Mapping)), found)
    if not isinstance(found, Mapping) or not found or not all(isinstance(v, Tensor) for v in found.values()):
        raise SubjectError(
            f"{path} holds no names with tensors, nor a checkpoint with them under {', '.join(NESTED)};"
            " save model.state_dict()."
        )
    weights = {str(key): value for key, value in found.items()}
    while prefix := next((p for p in WRAPPERS if all(key.startswith(p) for key in weights)), None):
        weights = {key.removeprefix(prefix): value for key, value in weights.items()}
    return weights


def read_torch(path: Path) -> Any:
    from pickle import UnpicklingError

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        if "GLOBAL" not in str(error):
            raise SubjectError(f"{path} is no file of torch.save or safetensors, or is damaged.") from error
        raise SubjectError(
            f"{path} holds more than tensors (a whole model, for example), which only running code from it could load;"
            " save model.state_dict() instead."
        ) from error
    except (OSError, EOFError, RuntimeError, KeyError, ValueError) as error:
        raise SubjectError(f"{path} cannot be read: {in_one_line(error)}.") from error
