"""The command line: `resperturb run`, `measure`, `depth`, `report`, `merge` and `verify`.

PyTorch and pandas are imported by the command that needs them, so `resperturb --help` answers at once.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import math
import os
import signal
import sys
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from resperturb.errors import ResperturbError
from resperturb.experiment.cost import DAY
from resperturb.experiment.experiment import Experiment
from resperturb.experiment.parameters import results_folder
from resperturb.experiment.presets import load_preset, preset_names

if TYPE_CHECKING:
    import pandas as pd

    from resperturb.records.record import Record

FIGURE_SUFFIXES = (".svg", ".png", ".pdf")
BAR_LENGTH = 16  # characters of the longest bar
# Defaults of fields that neither the experiment nor the data set states as a value.
UNSET = {
    "sections": "3, or as many as blocks if fewer",
    "threads": "one for digits, else all",
}


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="resperturb",
        description="Train residual networks of any depth and measure how far each block is from the identity.",
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="command")

    run = commands.add_parser("run", help="train and measure one network, and write its record")
    run.set_defaults(action=run_command)
    run.add_argument("--preset", help=f"start from a preset: {', '.join(preset_names())}, or a YAML file of your own")
    run.add_argument("--results", help="folder for the record (default: results/<preset>, or results/runs without one)")
    run.add_argument("--again", action="store_true", help="run even if the record is there already")
    run.add_argument("--yes", action="store_true", help="run even if it is estimated to take more than a day")
    group = run.add_argument_group("experiment", "fields of the experiment; they override the preset's")
    for field in dataclasses.fields(Experiment):
        default = UNSET.get(field.name, "the data set's own") if field.default is None else field.default
        group.add_argument(f"--{field.name.replace('_', '-')}", dest=field.name, metavar="VALUE", help=f"({default})")

    measure = commands.add_parser("measure", help="a table of the perturbations of any residual network, or of several")
    measure.set_defaults(action=measure_command)
    measure.add_argument(
        "specs", nargs="+", metavar="SPEC", help="torchvision:NAME, timm:NAME, hf:TYPE, hf:FOLDER, or FILE.py:function"
    )
    measure.add_argument("--weights", metavar="FILE", help="trained: safetensors, or torch.save of a state_dict")
    measure.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="a field of the network")
    inputs = measure.add_mutually_exclusive_group()
    inputs.add_argument("--data", help="digits, mnist, cifar10, or a folder of images (digits)")
    inputs.add_argument("--text", metavar="FILE", help="text for a language model (the help of Python)")
    measure.add_argument("--samples", type=int, metavar="N", help="how many (256 images or 64 sequences, or all)")
    measure.add_argument("--batch-size", type=int, default=32, metavar="N", help="images or sequences at once (32)")
    measure.add_argument("--size", type=int, metavar="N", help="side in pixels (the network's own), or tokens (64)")
    measure.add_argument("--device", default="auto", help="auto (a GPU if there is one), cpu, cuda, ... (auto)")
    measure.add_argument("--sequences", choices=("sample", "token"), help="norms are over (sample; token for text)")
    measure.add_argument("--json", action="store_true", help="print JSON, a line a network, for programs")
    measure.add_argument("--csv", metavar="FILE", help="write the whole table, with spreads and quantiles")
    measure.add_argument("--figure", metavar="FILE", help="draw it: .svg, .png or .pdf (needs matplotlib)")

    depth = commands.add_parser("depth", help="the stopping rule: the depth whose average falls below epsilon")
    depth.set_defaults(action=depth_command)
    depth.add_argument("results", help="folder of a sweep's records")
    depth.add_argument("--epsilon", type=float, required=True, help="threshold of the average scaled perturbation")
    depth.add_argument("--json", action="store_true", help="print JSON, for programs")

    report = commands.add_parser("report", help="a table of a sweep's runs and its fitted exponents")
    report.set_defaults(action=report_command)
    report.add_argument("results", help="folder of a sweep's records")

    merge = commands.add_parser("merge", help="copy records of other machines into one sweep")
    merge.set_defaults(action=merge_command)
    merge.add_argument("sources", nargs="+", metavar="SOURCE", help="folder of a sweep's records")
    merge.add_argument("--results", required=True, metavar="FOLDER", help="folder that takes them: results/<sweep>")

    verify = commands.add_parser("verify", help="compare the numbers of the present code with those of a commit's code")
    verify.set_defaults(action=verify_command)
    verify.add_argument("revisions", nargs="+", metavar="COMMIT", help="what git calls it: a hash, a branch, HEAD~2")
    verify.add_argument("--results", type=Path, default=Path("results"), help="folder of all sweeps (results)")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 if it did what it was asked, 2 with one sentence on standard error if it could not."""
    options = parser().parse_args(arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):  # end as Ctrl-C does: with a sentence, and without half a record
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)
    try:
        return int(options.action(options))
    except BrokenPipeError:  # the reader of our output has seen enough, as head does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except ModuleNotFoundError as error:
        print(
            f"resperturb {options.command}: {error.name} is not installed: pip install 'resperturb[train]'",
            file=sys.stderr,
        )
        return 2
    except (ValueError, OSError, ImportError) as error:  # every error of ours is a ValueError
        print(f"resperturb {options.command}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except (MemoryError, RuntimeError) as error:  # PyTorch has a RuntimeError for it
        if isinstance(error, RuntimeError) and not any(word in str(error) for word in ("memory", "create a primitive")):
            raise
        print(
            f"resperturb {options.command}: memory ran out; choose a smaller network, batch or image", file=sys.stderr
        )
        return 2
    except KeyboardInterrupt:
        after = "; the next run continues from its last checkpoint, if there is one" if options.command == "run" else ""
        print(f"resperturb {options.command}: interrupted{after}", file=sys.stderr)
        return 130


def value_of(text: str) -> Any:
    """A word of the command line as a number, true, false, None, or the word itself."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False, "none": None, "null": None}.get(text.strip().lower(), text)


def run_command(options: argparse.Namespace) -> int:
    changes = {
        field.name: text if str(field.type).startswith("str") else value_of(text)  # "none" is also a kind
        for field in dataclasses.fields(Experiment)
        if (text := getattr(options, field.name)) is not None
    }
    if options.preset is not None:
        preset = load_preset(options.preset)
        experiment = preset.experiment_at(
            changes.pop("blocks", preset.depths[0]), changes.pop("seed", preset.seeds[0]), **changes
        )
        results = f"results/{preset.name}"
    else:
        experiment = Experiment.from_mapping(changes)
        results = "results/runs"
    folder = results_folder(results if options.results is None else options.results)

    from resperturb.studies.run import run

    longest = math.inf if options.yes else DAY
    record = run(experiment, folder, again=options.again, longest=longest, report=lambda line: print(line, flush=True))
    end = record.run["averages"].get("end")
    if end is None:
        print(f"{record.folder}: diverged")
    elif not record.blocks:
        print(f"{record.folder}: accuracy {record.accuracy:.4f}, no blocks")
    else:
        print(
            f"{record.folder}: accuracy {record.accuracy:.4f}, average scaled perturbation "
            f"{end['scaled']:.4f}, blocks x average {record.blocks * end['scaled']:.2f}"
        )
    return 0


def measure_command(options: argparse.Namespace) -> int:
    import pandas as pd

    from resperturb.analysis.networks import compare

    check_targets(options.csv, options.figure)
    tables = {spec: print_measured(spec, options) for spec in dict.fromkeys(options.specs)}
    several = len(tables) > 1
    if several and not options.json:
        print(compare(tables).to_string(index=False, float_format="{:.4g}".format))
    if options.csv is not None:
        rows = pd.concat(tables, names=["network"]).reset_index("network")
        (rows if several else tables[options.specs[0]]).to_csv(options.csv, index=False, float_format="%.9g")
    if options.figure is not None:
        from resperturb.figures.networks import save_figure

        save_figure(tables, options.figure)
    return 0


def print_measured(spec: str, options: argparse.Namespace) -> pd.DataFrame:
    """Measure one network as the options say and print what was found; a line of JSON if they ask for it."""
    from resperturb.measurement.measure import left_out_sentence, measurement
    from resperturb.models.external import load_model, load_weights, one_sentence, weight_files
    from resperturb.studies.run import device_of
    from resperturb.studies.text import corpus
    from resperturb.training.external_data import load_pictures, load_text, read_text, reads_text

    device = device_of(options.device)
    source, _, name = spec.rpartition(":")
    model = load_model(spec, options.size, settings_of(options.set))
    if options.weights is not None:
        load_weights(model, options.weights)
    amount = {"samples": options.samples, "batch_size": options.batch_size, "size": options.size}
    inputs: Iterable[Any]
    norms: Literal["sample", "token"]
    if options.text is not None or (options.data is None and reads_text(model)):
        with one_sentence(f"preparing text for {spec}"):
            inputs, form = load_text(corpus() if options.text is None else read_text(options.text), model, **amount)
        what, norms = f"sequences of {options.text or 'the help of Python'}", "token"
    else:
        data, norms = "digits" if options.data is None else options.data, "sample"
        inputs = pictures = load_pictures(data, model, **amount)
        with one_sentence(f"preparing images of {data}"):
            form, what = "×".join(map(str, pictures.dataset[0].shape)), f"images of {data}"
    norms = options.sequences or norms
    doing = f"measuring {spec} on {what.split()[0]} of {form} on {device}"
    with one_sentence(doing, source), progress(inputs) as batches:
        table = measurement(model.to(device), batches, device=device, sequences=norms).table
    own = source.endswith(".py") or (source == "hf" and weight_files(Path(name)))
    facts = {
        "network": spec,
        "weights": options.weights or ("its own weights" if own else "random weights (seed 0)"),
        "inputs": f"{table['samples'].iloc[0]} {what}, {form}",
        "norms": norms,
        "batch_statistics": table.attrs["batch_statistics"],
        "left_out": table.attrs["left_out"],
    }
    if options.json:
        print(json.dumps(facts | {"rows": json.loads(table.to_json(orient="records", double_precision=15))}))
    else:
        facts["batch_statistics"] = "yes" if table.attrs["batch_statistics"] else "no"
        print("{network}, {weights}; {inputs}; norms per {norms}; batch statistics: {batch_statistics}".format(**facts))
        print_blocks(table)
        if table.attrs["left_out"]:
            print(left_out_sentence(table.attrs["left_out"]))
    return table


def settings_of(words: Sequence[str]) -> dict[str, Any]:
    """FIELD=VALUE as fields; values are read as YAML, such as 2, 0.5, true or [2, 2]."""
    if not words:
        return {}
    import yaml

    if wrong := [word for word in words if not word.partition("=")[0].isidentifier() or "=" not in word]:
        raise ResperturbError(f"--set takes FIELD=VALUE, such as num_hidden_layers=2, but got {wrong[0]!r}.")
    fields = {}
    for field, _, value in (word.partition("=") for word in words):
        try:
            fields[field] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise ResperturbError(f"--set takes values of YAML, such as 2 or [2, 2], but got {value!r}.") from None
    return fields


def print_blocks(table: pd.DataFrame) -> None:
    """Print a row for each addition, with a bar as long as a block's scaled perturbation, and a line about all."""
    import pandas as pd

    scaled = table["scaled"].where(table["kind"] == "identity")
    eighths = (8 * BAR_LENGTH * scaled / (scaled.max() or 1.0)).fillna(0).round().astype(int)
    bars = pd.Series(["█" * (n // 8) + " ▏▎▍▌▋▊▉"[n % 8].strip() for n in eighths])
    bars = bars.where(table["kind"] == "identity", table["kind"])
    shown = table[["block", "name", "state_norm", "perturbation_norm", "scaled", "cosine", "influence"]].copy()
    shown["block"] = shown["block"].where(shown["block"] > 0, "").astype(str)
    shown["name"] = shown["name"].str.ljust(shown["name"].str.len().max())
    shown.insert(5, " " * BAR_LENGTH, bars.str.ljust(BAR_LENGTH))
    print(shown.to_string(index=False, float_format="{:.4g}".format))
    scaled = scaled.dropna()
    average = f"average scaled perturbation {scaled.mean():.4g}" if len(scaled) else "every addition is a transition"
    print(
        f"{len(scaled)} {'block' if len(scaled) == 1 else 'blocks'}, {average}, blocks x average {scaled.sum():.4g}; "
        f"x + f is the sum to within {table['reconstruction_error'].max():.0e}"
    )


def check_targets(csv: str | None, figure: str | None) -> None:
    """Refuse a file that could not be written before anything is computed."""
    for name in (csv, figure):
        path = Path(name or "")
        if name is not None and (path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK)):
            raise ResperturbError(f"{name!r} cannot be written; name a file in a folder that can be written to.")
    if figure and Path(figure).suffix.lower() not in FIGURE_SUFFIXES:
        raise ResperturbError(f"--figure must end in {', '.join(FIGURE_SUFFIXES)}, but got {figure!r}.")
    if figure and importlib.util.find_spec("matplotlib") is None:
        raise ResperturbError("--figure needs matplotlib: pip install 'resperturb[plot]'.")


def check_alike(records: Sequence[Record]) -> None:
    """Refuse to fit one law to runs that differ in more than depth, seed, and what goes with depth."""
    from resperturb.errors import ScalingError

    first, *others = [record.experiment for record in records]
    for other in others:
        for name in sorted({*first.identity, *other.identity} - {"blocks", "seed", "branch_scale", "sections"}):
            if (one := getattr(first, name)) != (another := getattr(other, name)):
                raise ScalingError(f"the runs differ in {name} ({one!r} and {another!r}); fit those of one experiment.")


def progress(batches: Any) -> AbstractContextManager[Iterable[Any]]:
    """The batches, with a bar on standard error where tqdm is installed."""
    try:
        from tqdm import tqdm
    except ImportError:  # it comes with the packages of the book
        return nullcontext(batches)
    return tqdm(batches, unit="batch", leave=False)


def depth_command(options: argparse.Namespace) -> int:
    from resperturb.analysis.power_law import stopping_depth
    from resperturb.records.record import load_records

    records = load_records(options.results)
    check_alike(records)
    found = stopping_depth(options.epsilon, records)
    accuracies = [r.accuracy for r in records if r.blocks == found.depth and not r.diverged]
    accuracy = sum(accuracies) / len(accuracies) if found.measured and accuracies else None
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
    from resperturb.analysis.slope_tests import fit_runs
    from resperturb.errors import ScalingError
    from resperturb.records.record import load_records, summary

    records = load_records(options.results)
    columns = ["run", "accuracy", "scaled_initialization", "scaled_end", "clock", "wall_seconds", "diverged"]
    print(summary(records)[columns].to_string(index=False, float_format="{:.4g}".format))
    try:
        check_alike(records)
    except ScalingError as error:
        print(f"no exponent: {error}")
        return 0
    for moment in ("initialization", "end"):
        try:
            slope = fit_runs(records, moment)
        except ScalingError as error:
            print(f"{moment}: {error}")
        else:
            print(f"{moment}: average ~ L^{slope.exponent:.3f} (95 % interval {slope.low:.3f} to {slope.high:.3f})")
    return 0


def merge_command(options: argparse.Namespace) -> int:
    from resperturb.records.merge import merge

    new = merge(options.sources, results_folder(options.results))
    print(f"{options.results}: {len(new)} {'record' if len(new) == 1 else 'records'} copied")
    return 0


def verify_command(options: argparse.Namespace) -> int:
    from resperturb.studies.equivalence import verify

    return 0 if verify(options.revisions, options.results) else 1


if __name__ == "__main__":
    sys.exit(main())
