"""Public architectures by name: the additions that `measure` finds, beside those that their definitions have.

    pip install 'resperturb[models]'
    python benchmarks/architectures.py    # minutes; writes benchmarks/results/architectures.json

Weights are random (seed 0), so nothing is downloaded. Two samples each: images of noise, and bytes of Python's help as
tokens. Networks of transformers have a few narrow layers. The counts of a definition are written here by hand: how many
residual additions the publication draws, with the state itself ("identity") and with a projected, pooled or rescaled
state ("transition"). None stands for a network without residual additions, which `measure` must refuse.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import torch
from common import parsed, parser_of, provenance, write_result

from resperturb import MeasurementError
from resperturb.measurement.measure import measurement
from resperturb.models.external import load_model
from resperturb.studies.text import corpus
from resperturb.training.external_data import load_text, reads_text

Expected = tuple[int, int] | None  # identities and transitions
TOKENS = 16

# Name: side of the images in pixels, and what the definition has.
TORCHVISION: dict[str, tuple[int, Expected]] = {
    "resnet18": (64, (5, 3)),
    "resnet34": (64, (13, 3)),
    "resnet50": (64, (12, 4)),
    "resnet101": (64, (29, 4)),
    "resnext50_32x4d": (64, (12, 4)),
    "wide_resnet50_2": (64, (12, 4)),
    "regnet_x_400mf": (64, (18, 4)),  # 1 + 2 + 7 + 12 blocks
    "regnet_y_400mf": (64, (12, 4)),
    "mobilenet_v2": (64, (10, 0)),  # a shortcut only where the shape stays
    "mobilenet_v3_small": (64, (6, 0)),
    "mobilenet_v3_large": (64, (10, 0)),
    "mnasnet1_0": (64, (10, 0)),
    "efficientnet_b0": (64, (9, 0)),  # 1 + 1 + 2 + 2 + 3
    "efficientnet_v2_s": (64, (35, 0)),  # 2 + 3 + 3 + 5 + 8 + 14
    "vit_b_16": (64, (24, 0)),  # attention and MLP of 12 layers
    "swin_t": (64, (24, 0)),
    "swin_v2_t": (64, (24, 0)),
    "convnext_tiny": (64, (18, 0)),  # 3 + 3 + 9 + 3
    "maxvit_t": (224, (51, 4)),  # 11 × (convolution + 2 × attention and MLP); the first of a stage projects
    "densenet121": (64, None),  # joins channels
    "shufflenet_v2_x1_0": (64, None),  # joins channels
    "vgg16": (64, None),
}
TIMM: dict[str, tuple[int, Expected]] = {
    "resnetv2_50": (64, (12, 4)),
    "seresnet50": (64, (12, 4)),
    "res2net50_26w_4s": (64, (12, 4)),
    "nf_resnet50": (64, (12, 4)),
    "ghostnet_100": (64, (11, 5)),
    "convnextv2_atto": (64, (12, 0)),  # 2 + 2 + 6 + 2
    "convmixer_768_32": (64, (32, 0)),  # around the depthwise convolution only
    "mixer_b16_224": (224, (24, 0)),
    "resmlp_12_224": (224, (24, 0)),
    "gmlp_s16_224": (224, (30, 0)),
    "poolformer_s12": (64, (24, 0)),
    "deit_tiny_patch16_224": (64, (24, 0)),
    "beit_base_patch16_224": (64, (24, 0)),
    "eva02_tiny_patch14_224": (56, (24, 0)),
    "cait_xxs24_224": (64, (52, 0)),  # 24 layers of patches and 2 of the class token
    "pvt_v2_b0": (64, (16, 0)),
    "twins_svt_small": (64, (40, 0)),  # 18 layers and 4 position encodings
    "davit_tiny": (64, (48, 0)),  # 6 pairs of layers, each with 2 position encodings, attention and MLP
    "focalnet_tiny_srf": (64, (24, 0)),
    "hiera_tiny_224": (224, (21, 3)),  # 12 layers; 3 attentions pool the state
    "mobilevit_s": (64, (20, 0)),  # 2 convolutions and 9 transformer layers
    "levit_128s": (224, (20, 0)),  # 9 layers and the MLPs after 2 shrinking attentions
    "efficientformer_l1": (224, (30, 0)),
}
NARROW = {"hidden_size": 64, "num_attention_heads": 4, "vocab_size": 300}
SMALL = {**NARROW, "num_hidden_layers": 3, "intermediate_size": 96}
GROUPED = {**SMALL, "num_key_value_heads": 2}
MOE = {**GROUPED, "num_local_experts": 4}
SHALLOW = {"hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 3, "intermediate_size": 96}
# Model type: fields of its config, and what the definition has.
LANGUAGE: dict[str, tuple[dict[str, Any], Expected]] = {
    "gpt2": ({**NARROW, "num_hidden_layers": 3}, (6, 0)),  # attention and MLP of a layer
    "gpt_neo": ({**NARROW, "num_layers": 2, "attention_types": [[["global", "local"], 1]]}, (4, 0)),
    "gptj": ({**NARROW, "num_hidden_layers": 3, "rotary_dim": 8}, (3, 0)),  # attention and MLP at once
    "gpt_neox": (SMALL, (3, 0)),  # attention and MLP at once
    "opt": ({**NARROW, "num_hidden_layers": 3, "ffn_dim": 96, "word_embed_proj_dim": 64}, (6, 0)),
    "bloom": ({**NARROW, "num_hidden_layers": 3}, (6, 0)),
    "mpt": ({"d_model": 64, "n_heads": 4, "n_layers": 3, "vocab_size": 300}, (6, 0)),
    "falcon": ({**NARROW, "num_hidden_layers": 3}, (3, 0)),  # attention and MLP at once
    "phi": (SMALL, (3, 0)),  # attention and MLP at once
    "phi3": ({**GROUPED, "pad_token_id": 0}, (6, 0)),
    "llama": (GROUPED, (6, 0)),
    "mistral": (GROUPED, (6, 0)),
    "qwen2": (GROUPED, (6, 0)),
    "qwen3": ({**GROUPED, "head_dim": 16}, (6, 0)),
    "gemma": ({**GROUPED, "head_dim": 16}, (6, 0)),
    "gemma2": ({**GROUPED, "head_dim": 16}, (6, 0)),
    "gemma3_text": ({**GROUPED, "head_dim": 16}, (6, 0)),
    "olmo2": (GROUPED, (6, 0)),
    "granite": (GROUPED, (6, 0)),
    "starcoder2": (GROUPED, (6, 0)),
    "stablelm": (GROUPED, (6, 0)),
    "cohere": (GROUPED, (3, 0)),  # attention and MLP at once
    "mixtral": (MOE, (6, 0)),
    "gpt_oss": ({**MOE, "head_dim": 16}, (6, 0)),
    "mamba": ({"hidden_size": 64, "num_hidden_layers": 3, "vocab_size": 300}, (3, 0)),
    "rwkv": ({"hidden_size": 64, "num_hidden_layers": 3, "vocab_size": 300, "attention_hidden_size": 64}, (6, 0)),
    "bert": (SMALL, (6, 0)),
    "roberta": (SMALL, (6, 0)),
    "electra": ({**SMALL, "embedding_size": 32}, (6, 0)),
    "distilbert": ({"dim": 64, "n_heads": 4, "n_layers": 3, "hidden_dim": 96, "vocab_size": 300}, (6, 0)),
    "albert": ({**SMALL, "embedding_size": 32}, (6, 0)),  # one layer, three times
    "deberta-v2": (SMALL, (6, 0)),
    "modernbert": ({**SMALL, "pad_token_id": 0}, (6, 0)),
    "xlnet": ({"d_model": 64, "n_head": 4, "n_layer": 3, "d_inner": 96, "vocab_size": 300}, (6, 0)),
    "t5": (  # 2 layers of 2 in the encoder, and 2 of 3 in the decoder
        {
            "d_model": 64, "d_kv": 16, "d_ff": 96, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 4,
            "vocab_size": 300,
        },
        (10, 0),
    ),
    "bart": (
        {
            "d_model": 64, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4, "vocab_size": 300,
            "decoder_attention_heads": 4, "encoder_ffn_dim": 96, "decoder_ffn_dim": 96,
        },
        (10, 0),
    ),
}  # fmt: skip
VISION: dict[str, tuple[int, dict[str, Any], Expected]] = {
    "vit": (64, SHALLOW, (6, 0)),
    "dinov2": (56, {"hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 3}, (6, 0)),
    "clip_vision_model": (64, SHALLOW, (6, 0)),
    "siglip_vision_model": (64, SHALLOW, (7, 0)),  # and the MLP of the attention that pools
    "segformer": (64, {}, (16, 0)),  # 2 + 2 + 2 + 2 layers
    "swin": (224, {}, (24, 0)),
    "resnet": (64, {}, (12, 4)),
}
# Networks whose every number tests/measurement/test_public_models.py compares with a pass written out in float64.
EXPLICIT = ("torchvision:resnet18", "torchvision:resnet50", "torchvision:convnext_tiny", "torchvision:vit_b_16")


def cases() -> list[tuple[str, str, int, dict[str, Any], Expected]]:
    """Group, spec, side of the images or tokens, settings, and the counts of the definition."""
    return [
        *(("torchvision", f"torchvision:{name}", side, {}, counts) for name, (side, counts) in TORCHVISION.items()),
        *(("timm", f"timm:{name}", side, {}, counts) for name, (side, counts) in TIMM.items()),
        *(
            ("transformers, text", f"hf:{name}", TOKENS, settings, counts)
            for name, (settings, counts) in LANGUAGE.items()
        ),
        *(("transformers, images", f"hf:{name}", *rest) for name, rest in VISION.items()),
    ]


def measured(group: str, spec: str, size: int, settings: dict[str, Any], expected: Expected) -> dict[str, Any]:
    """What `measure` finds in one network."""
    begun = time.perf_counter()
    try:
        model = load_model(spec, size, settings)
        if reads_text(model):
            batches, _ = load_text(corpus(), model, samples=2, size=size)
        else:
            batches = [torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))]
        table = measurement(model, batches).table
    except MeasurementError as error:
        if "no residual addition" not in str(error):
            raise RuntimeError(f"{spec}: {error}") from error
        found, left_out = None, 0
    else:
        left_out = len(table.attrs["left_out"])
        found = tuple(int((table["kind"] == kind).sum()) for kind in ("identity", "transition"))
    row = {
        "group": group,
        "network": spec,
        "size": size,
        "settings": settings,
        "expected": expected,
        "found": found,
        "left_out": left_out,
        "agrees": found == expected,
        "explicit": spec in EXPLICIT,
        "reconstruction_error": None if found is None else float(table["reconstruction_error"].max()),
        "seconds": round(time.perf_counter() - begun, 1),
    }
    print(f"{spec}: {found}" + ("" if row["agrees"] else f", but expected {expected}"), flush=True)
    return row


def main(arguments: Sequence[str] | None = None) -> int:
    options = parsed(parser_of("architectures", str(__doc__)), arguments)
    result = provenance(options.quick)
    result["versions"] |= {name: version(name) for name in ("timm", "transformers")}
    chosen = [case for case in cases() if case[1] in ("torchvision:resnet18", "torchvision:vgg16", "hf:gpt2")]
    result["cases"] = [measured(*case) for case in (chosen if options.quick else cases())]
    write_result(result, options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
