"""Numbers and records as the prose of the chapters quotes them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from resperturb.analysis.curves import by_range
from resperturb.analysis.power_law import power_law
from resperturb.analysis.profiles import concentration_table
from resperturb.analysis.summaries import CLAIMED_EXPONENTS, depth_table, interval, laws_by_moment, signed, verdict
from resperturb.records.record import StudyRecord
from resperturb.records.sweeps import Sweep, records_of, stale_words


def records_of_all(sweeps: Iterable[Sweep]) -> str:
    """The same for several sweeps; each is the preset of its folder's name."""
    given = list(sweeps)
    runs, stale = sum(len(sweep.records) for sweep in given), sum(len(sweep.stale) for sweep in given)
    after = ", ".join(filter(None, (f"{runs} runs", stale_words(stale))))
    return f"{', '.join(sweep.folder for sweep in given)} (the presets of these names, {after})"


def quantities(sweep: Sweep) -> dict[str, str]:
    """What the prose of the chapters quotes from one sweep, ready to print."""
    records = sweep.finished
    table = depth_table(sweep.records)
    said: dict[str, str] = {
        "depths": ", ".join(map(str, table["blocks"][:-1])) + f" and {table['blocks'].iloc[-1]}",
        "shallowest": str(table["blocks"].iloc[0]),
        "deepest": str(table["blocks"].iloc[-1]),
        "runs": str(len(sweep.records)),
        "diverged": str(len(sweep.records) - len(records)),
        "seeds": str(len({record.seed for record in records})),
        "clock": f"{table['clock'].mean():.1f}",
        "accuracy_low": f"{table['accuracy'].min():.1%}",
        "accuracy_high": f"{table['accuracy'].max():.1%}",
        "minutes": f"{sum(r.run['wall_seconds'] for r in sweep.records) / 60:.1f}",
        "images_measured": str(records[0].experiment.measured_images),
        "train_size": f"{records[0].experiment.train_size}",
        "epochs": str(records[0].experiment.epochs),
        "weight_decay": f"{records[0].run['training']['weight_decay']:.3g}",
        "product_shallowest": f"{table['product_end'].iloc[0]:.2f}",
        "product_deepest": f"{table['product_end'].iloc[-1]:.2f}",
        "scaled_shallowest": f"{table['scaled_end'].iloc[0]:.3g}",
        "scaled_deepest": f"{table['scaled_end'].iloc[-1]:.3g}",
        "absolute_ratio": f"{table['absolute_end'].iloc[0] / table['absolute_end'].iloc[-1]:.3g}",
        "depth_ratio": f"{table['blocks'].iloc[-1] / table['blocks'].iloc[0]:.3g}",
        "scaled_ratio": f"{table['scaled_end'].iloc[0] / table['scaled_end'].iloc[-1]:.3g}",
        "worst_reconstruction": f"{max(r.perturbations['reconstruction_error'].max() for r in records):.0e}",
        "records": records_of(sweep),
        "origin": "the records shipped with the book" if sweep.shipped else "the sweep run in this checkout",
        "freshness": f" ({words})" if (words := stale_words(len(sweep.stale))) else "",
    }
    spread = concentration_table(records)
    said |= {
        "half": f"{spread['half'].iloc[-1]:.3g}",
        "nine_tenths": f"{spread['nine_tenths'].iloc[-1]:.3g}",
        "half_initialization": f"{concentration_table(records, 'initialization')['half'].iloc[-1]:.3g}",
        "exponent_median": signed(float(power_law(spread["blocks"].to_numpy(), spread["median"].to_numpy())[0])),
        "exponent_largest": signed(float(power_law(spread["blocks"].to_numpy(), spread["largest"].to_numpy())[0])),
    }
    for moment, law in laws_by_moment(sweep.records).items():
        ranges = by_range(sweep.records, moment=moment, replicates=2)
        said |= {
            f"exponent_{moment}": signed(law.exponent),
            f"interval_{moment}": interval(law),
            f"verdict_{moment}": verdict(law, CLAIMED_EXPONENTS[moment], ranges["exponent"]),
        }
    return said


def records_of_runs(records: Sequence[StudyRecord]) -> str:
    """Folder, number of runs, and how many of them are stale."""
    stale = stale_words(sum(not record.fresh for record in records))
    folder = records[0].folder.parent.name
    return f"results/{folder} ({', '.join(filter(None, (f'{len(records)} runs', stale)))})"
