"""The command line: `resperturb run`, `resperturb depth`, `resperturb report`.

PyTorch and pandas are imported by the command that needs them, so `resperturb --help` answers at once.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
from collections.abc import Sequence
from typing import Any

import yaml

from resperturb.experiment import Experiment
from resperturb.presets import load_preset, preset_names


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="resperturb",
        description="Train residual networks of any depth and measure how far each block is from the identity.",
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="command")

    run = commands.add_parser("run", help="train and measure one network, and write its record")
    run.add_argument("--preset", help=f"start from a preset: {', '.join(preset_names())}, or a YAML file of your own")
    run.add_argument("--results", help="folder for the record (default: results/<preset>, or results/runs without one)")
    run.add_argument("--again", action="store_true", help="run even if the record is there already")
    group = run.add_argument_group("experiment", "fields of the experiment; they override the preset's")
    for field in dataclasses.fields(Experiment):
        default = "the data set's own" if field.default is None else field.default
        group.add_argument(f"--{field.name.replace('_', '-')}", dest=field.name, metavar="VALUE", help=f"({default})")

    depth = commands.add_parser("depth", help="the stopping rule: the depth whose average falls below epsilon")
    depth.add_argument("results", help="folder of a sweep's records")
    depth.add_argument("--epsilon", type=float, required=True, help="threshold of the average scaled perturbation")
    depth.add_argument("--json", action="store_true", help="print JSON, for programs")

    report = commands.add_parser("report", help="a table of a sweep's runs and its fitted exponents")
    report.add_argument("results", help="folder of a sweep's records")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 if it did what it was asked, 2 with one sentence on standard error if it could not."""
    options = parser().parse_args(arguments)
    try:
        return {"run": run_command, "depth": depth_command, "report": report_command}[options.command](options)
    except ValueError as error:  # every error of ours is one
        print(f"resperturb {options.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"resperturb {options.command}: interrupted; what was checkpointed is taken up again", file=sys.stderr)
        return 130


def value_of(text: str) -> Any:
    """What a word of the command line means: a number, none, or the word itself."""
    try:
        value = float(text) if text.strip().lower() in ("nan", "inf", "-inf") else yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    if isinstance(value, str):
        try:
            return float(value)  # YAML does not take 1e-4 for a number
        except ValueError:
            return None if value.lower() == "none" else text  # "none" is also a kind; see run_command
    return value


def run_command(options: argparse.Namespace) -> int:
    given = {
        field.name: getattr(options, field.name)
        for field in dataclasses.fields(Experiment)
        if getattr(options, field.name) is not None
    }
    words = {field.name for field in dataclasses.fields(Experiment) if str(field.type).startswith("str")}
    changes = {name: text if name in words else value_of(text) for name, text in given.items()}
    if options.preset:
        preset = load_preset(options.preset)
        experiment = preset.experiment_at(
            changes.pop("blocks", preset.depths[0]), changes.pop("seed", preset.seeds[0]), **changes
        )
        results = options.results or f"results/{preset.name}"
    else:
        experiment = Experiment.from_mapping(changes)
        results = options.results or "results/runs"

    from resperturb.runner import run

    record = run(experiment, results, again=options.again, report=lambda line: print(line, flush=True))
    end = record.run["averages"].get("end")
    if end is None:
        print(f"{record.folder}: diverged")
    else:
        print(
            f"{record.folder}: accuracy {record.run['accuracy']:.4f}, average scaled perturbation "
            f"{end['scaled']:.4f}, blocks x average {record.blocks * end['scaled']:.2f}"
        )
    return 0


def depth_command(options: argparse.Namespace) -> int:
    from resperturb.records import load_records
    from resperturb.scaling import stopping_depth

    records = load_records(options.results)
    found = stopping_depth(options.epsilon, records)
    there = [r.run["accuracy"] for r in records if r.blocks == found.depth and not r.diverged]
    accuracy = sum(there) / len(there) if found.measured and there else None
    if options.json:
        facts = dataclasses.asdict(found) | {"accuracy": accuracy}
        print(json.dumps({k: None if isinstance(v, float) and math.isinf(v) else v for k, v in facts.items()}))
        return 0
    how = f"measured: {found.above} blocks are not enough" if found.measured else "extrapolated from the power law"
    accuracy_text = f", accuracy there {accuracy:.4f}" if accuracy is not None else ""
    print(
        f"epsilon {found.epsilon:g}: {found.depth} blocks ({how}; crossing at {found.crossing:.1f}, "
        f"95 % interval {found.low:.1f} to {found.high:.1f}){accuracy_text}"
    )
    return 0


def report_command(options: argparse.Namespace) -> int:
    from resperturb.records import load_records, summary
    from resperturb.scaling import ScalingError, fit_power_law

    records = load_records(options.results)
    columns = ["run", "accuracy", "scaled_initialization", "scaled_end", "clock", "wall_seconds", "diverged"]
    print(summary(records)[columns].to_string(index=False, float_format="{:.4g}".format))
    for moment in ("initialization", "end"):
        try:
            law = fit_power_law(records, moment=moment)
        except ScalingError as error:
            print(f"{moment}: {error}")
        else:
            print(f"{moment}: average ~ L^{law.exponent:.3f} (95 % interval {law.low:.3f} to {law.high:.3f})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
