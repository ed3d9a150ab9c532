# The sweep and the book as one graph: what is missing or out of date is made, nothing else.
#
#   snakemake sweep --cores all                                   the default preset, digits
#   snakemake sweep --cores all --config preset=mnist             another one, or a YAML file of your own
#   snakemake sweep --cores all --config preset=lesion            a study of config/studies, the same way
#   snakemake book --cores all                                    the sweep, a page for every run, and the site
#
# On a SLURM cluster, with pip install snakemake-executor-plugin-slurm (config/slurm/config.yaml says what it sets):
#   snakemake sweep --profile config/slurm --config preset=mnist
#   snakemake sweep --profile config/slurm --config preset=cifar10 --set-resources run:gpu=1 run:runtime=240
# On one machine with one GPU, a run at a time:
#   snakemake sweep --cores all --set-resources run:gpu=1 --resources gpu=1 --config preset=cifar10
#
# --config takes: preset; results (folder of the records, results/<preset>); threads (of each run, 1);
# again=True (with --forcerun run: train also where the record is fresh).

import json
import os
import shlex
import sys
from pathlib import Path

from resperturb.errors import ExperimentError
from resperturb.studies.plan import load_plan

# papermill, jupyter-book and python of the environment that snakemake itself is in, activated or not
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

try:
    PLAN = load_plan(str(config.get("preset", "digits")))
    RUNS = {run.name: run for run in PLAN.runs}
except ExperimentError as error:
    sys.exit(f"Snakefile: {error}")

RESULTS = config.get("results", f"results/{PLAN.name}")
# One thread a run: runs share nothing, so one on every core uses the machine, and threads that compete for cores wait
# for each other. With more cores than runs, raise it.
THREADS = int(config.get("threads", PLAN.runs[0].parameters.get("threads") or 1))
AGAIN = bool(config.get("again", False))
EXECUTED = f"{RESULTS}/notebooks/{{run}}.ipynb"


def is_whole(run):
    """Whether a run has a record, and that is as it was written."""
    from resperturb.records.record import check_record, read_record  # slow, and not needed by the jobs of a cluster

    try:
        check_record(read_record(Path(RESULTS, run)))
    except ExperimentError:
        return False
    return True


# A finished notebook stands for its record, which is no output of a rule: Snakemake removes or restores outputs file
# by file, and would leave a record that is half old, half new. On a cluster every job reads this file: it goes on
# whatever the state of other runs.
EXECUTED_RUNS = [run for run in RUNS if workflow.is_main_process and Path(EXECUTED.format(run=run)).exists()]
if LOST := [EXECUTED.format(run=run) for run in EXECUTED_RUNS if not is_whole(run)]:
    sys.exit(
        f"Snakefile: the records of these notebooks are gone or damaged; remove them too to run again: {' '.join(LOST)}"
    )


def parameters(wildcards):
    """All that the preset decides, as papermill's -p; where and with how many threads is said in the rule."""
    given = {name: value for name, value in RUNS[wildcards.run].parameters.items() if name != "threads"}
    lists = {name: value for name, value in given.items() if isinstance(value, list)}
    words = [f"-p {name} {shlex.quote(str(value))}" for name, value in given.items() if name not in lists]
    return " ".join([*words, *([f"-y {shlex.quote(json.dumps(lists))}"] if lists else [])])


wildcard_constraints:
    run="|".join(RUNS),


localrules:
    sweep,
    pages,
    book,


rule sweep:
    input:
        expand(EXECUTED, run=RUNS),


rule run:
    # papermill writes as it goes; only a notebook that came to its end takes its place. The lock, which papermill and
    # its kernel inherit, keeps a run from being trained twice at once: a sweep called again, or a job that SLURM starts
    # again, waits for a process of before. Where there are no locks (macOS, some file systems) it goes on.
    input:
        notebook=f"notebooks/{PLAN.notebook}.ipynb",
        sources=[os.path.relpath(path) for path in PLAN.sources],
    output:
        EXECUTED,
    log:
        f"{RESULTS}/notebooks/{{run}}.log",
    params:
        parameters=parameters,
    priority: lambda wildcards: RUNS[wildcards.run].blocks  # the longest first, so that no core waits at the end
    threads: THREADS
    resources:
        runtime=120,  # minutes
        mem_mb=4000,
    shell:
        "hidden={RESULTS:q}/notebooks/.{wildcards.run}; exec 9> \"$hidden.lock\"; flock 9 2> /dev/null || true; "
        "rm -f \"$hidden\".*.ipynb; partial=$hidden.$(uname -n).$$.ipynb; "
        "OMP_NUM_THREADS={threads} papermill {input.notebook} \"$partial\" {params.parameters} -p threads {threads} "
        "-p results {RESULTS:q} -p again {AGAIN} --no-progress-bar --log-output > {log:q} 2>&1 "
        "&& test -f {RESULTS:q}/{wildcards.run}/run.json && mv \"$partial\" {output:q} && rm -f \"$hidden.lock\" "
        "|| {{ rm -f \"$partial\" \"$hidden.lock\"; tail -n 4 {log:q} >&2; exit 1; }}"


rule pages:
    input:
        executed=expand(EXECUTED, run=RUNS),
        makers=["book/_ext/run_pages.py", "book/report/run_facts.py"],
    output:
        expand("book/runs/{run}.ipynb", run=RUNS),
    shell:
        "PYTHONPATH=book${{PYTHONPATH:+:$PYTHONPATH}} python -m _ext.run_pages {input.executed}"


rule book:
    # From nothing, since values of removed pages survive in _build. A warning fails the build.
    default_target: True
    input:
        rules.pages.output,
        "_config.yml",
        "_toc.yml",
        sorted(str(path) for pattern in ("*.md", "*.bib", "_static/*") for path in Path("book").glob(pattern)),
        sorted(str(path) for top in ("resperturb", "book/report", "book/_ext") for path in Path(top).rglob("*.py")),
        sorted(str(path) for path in Path("benchmarks/results").glob("*.json")),
        sorted(str(path) for path in Path("results").glob("*/[!.]*/run.json") if path.parts[1] != Path(RESULTS).name),
    output:
        "_build/html/index.html",
    shell:
        "rm -rf _build && jupyter-book build book/ -W -n --keep-going"
