"""What logging costs: time of one logged measurement in steps of training.

    python benchmarks/logging_cost.py            # some minutes; writes benchmarks/results/logging_cost.json
    python benchmarks/logging_cost.py --quick --output FILE    # tiny networks: shows that it runs

Steps of training and a measurement that is written to a CSV file take turns; the ratio is taken in every round. Both
have the same batch, which a user would shrink for measuring. Times are processor time of one thread, which other work
on the machine changes little. Networks train in float32 by AdamW, which does nothing else: no loading of data.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from common import median_and_range, parsed, parser_of, provenance, write_result
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from resperturb import PerturbationLogger, ResidualNetwork
from resperturb.callbacks.logger import EVERY
from resperturb.models.transformer import Transformer

STEPS = 3  # of training beside each measurement
CHARACTERS = 64


def images(batch: int, channels: int, side: int) -> tuple[Tensor, Tensor]:
    return torch.randn(batch, channels, side, side), torch.arange(batch) % 10


def network_and_data(case: dict[str, Any]) -> tuple[nn.Module, Tensor, Tensor]:
    """A network with random weights, a batch, and its labels."""
    torch.manual_seed(0)
    if case["network"] == "transformer":
        tokens = torch.randint(CHARACTERS, (case["batch"], case["side"]))
        model = Transformer(case["blocks"] // 2, characters=CHARACTERS, width=case["width"], context=case["side"])
        return model, tokens, tokens
    if case["network"] == "ours":
        return ResidualNetwork(case["blocks"]), *images(case["batch"], 1, case["side"])
    import torchvision

    return torchvision.models.get_model(case["network"], weights=None), *images(case["batch"], 3, case["side"])


def seconds(work: Callable[[], Any]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def time_case(case: dict[str, Any], rounds: int) -> dict[str, Any]:
    model, inputs, labels = network_and_data(case)
    optimizer = torch.optim.AdamW(model.train().parameters(), lr=1e-5)

    def train() -> None:
        for _ in range(STEPS):
            optimizer.zero_grad()
            cross_entropy(model(inputs).flatten(0, -2), labels.flatten()).backward()
            optimizer.step()

    with TemporaryDirectory() as folder:
        logger = PerturbationLogger(model, inputs, to=Path(folder) / "perturbations.csv", every=1)
        train()
        steps, measured = [], []
        for _ in range(rounds):
            steps.append(seconds(train) / STEPS)
            measured.append(seconds(logger.step))
    ratios = [one / step for one, step in zip(measured, steps, strict=True)]
    result = {
        **case,
        "rounds": rounds,
        "step_seconds": median_and_range(steps),
        "measurement_seconds": median_and_range(measured),
        "ratio": median_and_range(ratios),
    }
    print(result, file=sys.stderr)
    return result


def cases(quick: bool) -> list[dict[str, Any]]:
    if quick:
        return [
            {"network": "ours", "blocks": 3, "batch": 4, "side": 8},
            {"network": "transformer", "blocks": 4, "width": 8, "batch": 2, "side": 8},
        ]
    return [
        {"network": "ours", "blocks": 30, "batch": 128, "side": 28},
        {"network": "ours", "blocks": 300, "batch": 64, "side": 8},  # operations so small that each addition counts
        {"network": "resnet50", "blocks": 12, "batch": 8, "side": 128},
        {"network": "transformer", "blocks": 16, "width": 128, "batch": 16, "side": 128},
    ]


def main(arguments: list[str] | None = None) -> int:
    parser = parser_of("logging_cost", str(__doc__))
    parser.add_argument("--rounds", type=int, default=7, help="(7)")
    options = parsed(parser, arguments)
    result = provenance(options.quick) | {"every": EVERY, "threads": 1}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        result["cases"] = [time_case(case, 2 if options.quick else options.rounds) for case in cases(options.quick)]
    finally:
        torch.set_num_threads(threads)
    write_result(result, options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
