"""Networks by name: of torchvision, timm, transformers or a Python file, and trained weights for them.

Images and text for them are in `resperturb.training.external_data`.
"""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from torch import nn

from resperturb.errors import ExternalError, ResperturbError
from resperturb.experiment.cost import GIB, machine_memory
from resperturb.experiment.validation import nearest

FORMS = "torchvision:NAME, timm:NAME, hf:TYPE, hf:path/to/folder or path/to/file.py:function"
NESTED = ("state_dict", "model_state_dict", "model", "net")  # where training scripts put the weights in a checkpoint
WRAPPER_PREFIXES = ("module.", "_orig_mod.")  # what DataParallel and torch.compile put before every name


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


def load_model(spec: str, size: int | None = None, settings: Mapping[str, Any] | None = None) -> nn.Module:
    """The network that `spec` names, with weights drawn from seed 0, in evaluation mode.

    Args:
        spec: "torchvision:NAME" or "timm:NAME"; "hf:TYPE", a model type or a config class of transformers, such as
            gpt2 or GPT2Config, or "hf:path/to/folder" with a config.json; or "path/to/file.py:function", where the
            function returns an `nn.Module`. Weights beside the config.json are loaded, as float32, and a function may
            return trained weights. Nothing is downloaded, and no code of a folder is run.
        size: side of the images in pixels; None for the network's own. Vision transformers are built for it.
        settings: arguments of the function that builds the network, or fields of the config of transformers.

    Raises:
        ExternalError: no such network, package, file or function, or it returns no module.
    """
    source, _, name = spec.rpartition(":")
    if not name or not (source in ("torchvision", "timm", "hf") or source.endswith(".py")):
        raise ExternalError(f"{spec!r} names no network; write {FORMS}.")
    package = {"hf": "transformers"}.get(source, source)
    if not source.endswith(".py") and importlib.util.find_spec(package) is None:
        raise ExternalError(f"{spec} needs {package}, which is not installed: pip install {package}.")
    with torch.random.fork_rng(devices=[]), one_sentence(f"building {spec}", source):
        torch.manual_seed(0)
        if source.endswith(".py"):
            return from_file(Path(source), name, settings or {}).eval()
        build = {"torchvision": from_torchvision, "timm": from_timm, "hf": from_transformers}[source]
        return build(name, size, settings or {}).eval()


def check_known(name: str, known: Iterable[str], where: str) -> None:
    """Refuse a name that is not among those known, with the nearest one."""
    known = list(known)
    if name not in known:
        near = nearest(name, known)
        hint = f"did you mean {near}?" if near else f"there are {shorten(', '.join(known), 200, placeholder=' ...')}."
        raise ExternalError(f"{where} {name!r}; {hint}")


def from_torchvision(name: str, size: int | None, settings: Mapping[str, Any]) -> nn.Module:
    from torchvision import models

    check_known(name, models.list_models(module=models), "torchvision has no classification network")
    model = models.get_model(name, weights=None, **settings)
    if size in (None, getattr(model, "image_size", size)):
        return model
    return models.get_model(name, weights=None, image_size=size, **settings)


def from_timm(name: str, size: int | None, settings: Mapping[str, Any]) -> nn.Module:
    import timm

    network = name.split(".")[0]  # after the point comes the name of trained weights
    check_known(network, timm.list_models(), "timm has no network")
    model = timm.create_model(name, pretrained=False, **settings)
    if size is None or getattr(getattr(model, "patch_embed", None), "img_size", None) in (None, (size, size)):
        return model
    return timm.create_model(name, pretrained=False, img_size=size, **settings)


def from_transformers(name: str, size: int | None, settings: Mapping[str, Any]) -> nn.Module:
    """The network of a model type or a folder; with weights, of the architecture that its config.json names."""
    import transformers
    from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    folder, safe = Path(name), {"trust_remote_code": False}  # code in the folder; without it transformers would ask
    if (folder / "config.json").is_file():
        configure = partial(transformers.AutoConfig.from_pretrained, folder, local_files_only=True, **safe)
    elif len(folder.parts) > 1 or (folder.is_dir() and name not in MODEL_MAPPING_NAMES):
        raise ExternalError(f"there is no {folder / 'config.json'}; name a folder with one, or a type such as gpt2.")
    else:
        name = getattr(getattr(transformers, name, None), "model_type", name)  # of a config class
        check_known(name, MODEL_MAPPING_NAMES, "transformers has no model type")
        configure = partial(transformers.AutoConfig.for_model, name)
    try:
        config = configure()
    except ValueError as error:
        if "trust_remote_code" not in str(error):
            raise
        raise ExternalError(f"hf:{name} needs code of its own, which is not run; load it in a FILE.py.") from None
    for field in settings:
        if not hasattr(config, field):  # transformers would take it, and not use it
            check_known(field, config.to_dict(), f"the config of {name} has no field")
    sized = {"image_size": size} if size is not None and hasattr(config, "image_size") else {}
    config = configure(**sized | dict(settings))
    if weight_files(folder):
        kind = getattr(transformers, (config.architectures or [""])[0], transformers.AutoModel)
        options = {"local_files_only": True, "output_loading_info": True, **safe}
        model, found = kind.from_pretrained(folder, config=config, **options)
        if found["missing_keys"]:
            missing = shorten(", ".join(sorted(found["missing_keys"])), 200, placeholder=" ...")
            raise ExternalError(f"the weights in {folder} do not fit {type(model).__name__}: missing are {missing}.")
        return model.float()
    with torch.device("meta"):
        numbers = sum(p.numel() for p in transformers.AutoModel.from_config(config, **safe).parameters())
    if (needed := 4 * numbers) > (there := machine_memory()):  # bytes
        raise ExternalError(
            f"the weights of hf:{name} must fit into {there / GIB:.3g} GiB of memory, but take {needed / GIB:.3g} GiB; "
            "make it smaller, as with --set num_hidden_layers=2."
        )
    return transformers.AutoModel.from_config(config, **safe).float()


def weight_files(folder: Path) -> list[Path]:
    """The files of weights that transformers would load from a folder."""
    stated = (folder / "config.json").is_file()
    return [*folder.glob("model*.safetensors"), *folder.glob("pytorch_model*.bin")] if stated else []


def from_file(path: Path, name: str, settings: Mapping[str, Any]) -> nn.Module:
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
    model = made if isinstance(made, nn.Module) and not settings else made(**settings)
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
    for prefix in WRAPPER_PREFIXES:
        nn.modules.utils.consume_prefix_in_state_dict_if_present(weights, prefix)
    return weights
