"""The graph of the sweep and the book, run for real at tiny size, and the files that describe the project."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from conftest import ROOT, Tree, write_preset

from resperturb.records.freshness import deciding_files
from resperturb.records.record import load_records

NOTHING = "Nothing to be done"


@contextmanager
def edited(path: Path) -> Iterator[None]:
    """A line more in a file for a while."""
    content = path.read_text(encoding="utf-8")
    path.write_text(content + "\n", encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(content, encoding="utf-8")


@pytest.mark.book
class TestSweep:
    def test_leaves_a_record_and_a_notebook_for_every_run(self, swept: Tree) -> None:
        records = load_records(swept.root / "results" / "tiny")
        assert [record.blocks for record in records] == [3, 4]
        assert all(record.run["provenance"]["threads"] == 1 for record in records)
        executed = sorted((swept.root / "results/tiny/notebooks").glob("*.ipynb"))
        assert [path.stem for path in executed] == [record.name for record in records]

    def test_has_nothing_to_do_when_done_whatever_the_figures_threads_and_folders(
        self, swept: Tree, tiny: Path
    ) -> None:
        command = swept.command("sweep", preset=tiny, results="results/tiny")
        with edited(swept.root / "resperturb/figures/runs.py"):
            assert NOTHING in swept.call([*command, "threads=2", "again=True"]).stdout

    @pytest.mark.parametrize("source", [deciding_files()[-1].relative_to(ROOT), "notebooks/sweep.ipynb"])
    def test_plans_again_what_an_edit_decides(self, swept: Tree, tiny: Path, source: Path | str) -> None:
        with edited(swept.root / source):
            done = swept.snakemake("sweep", "--dry-run", preset=tiny)
        assert done.returncode == 0, done.stdout
        assert re.search(r"^run +2$", done.stdout, re.MULTILINE), done.stdout

    @pytest.mark.parametrize("name", ["run.json", "history.csv"])
    def test_asks_what_to_do_when_a_record_is_gone_or_damaged(self, swept: Tree, tiny: Path, name: str) -> None:
        record = next((swept.root / "results" / "tiny").glob("blocks-003-*"))
        path = record / name
        content = path.read_bytes()
        path.unlink() if name == "run.json" else path.write_bytes(content.replace(b"1", b"2"))
        try:
            done = swept.snakemake("sweep", preset=tiny)
        finally:
            path.write_bytes(content)
        assert done.returncode != 0
        assert f"results/tiny/notebooks/{record.name}.ipynb" in done.stdout

    def test_job_of_a_cluster_goes_on_when_the_record_of_another_run_is_gone(self, swept: Tree, tiny: Path) -> None:
        gone, kept = sorted((swept.root / "results" / "tiny").glob("blocks-*"))
        away = gone.rename(gone.with_name("away"))
        try:
            job = ("--target-jobs", f"run:run={kept.name}", "--allowed-rules", "run", "--mode", "remote", "--force")
            done = swept.snakemake("sweep", *job, preset=tiny)
        finally:
            away.rename(gone)
        assert done.returncode == 0, done.stdout
        log = kept.parent / "notebooks" / f"{kept.name}.log"
        assert "recorded already" in log.read_text()

    @pytest.mark.skipif(shutil.which("flock") is None, reason="a run is locked where there is flock")
    def test_trains_once_where_it_is_started_twice(self, tree: Tree, tmp_path: Path) -> None:
        command = tree.command("sweep", preset=write_preset(tmp_path / "twice.yaml", [3], epochs=100))
        results = tree.root / "results" / "twice"
        both = [subprocess.Popen(command, cwd=tree.root, env=tree.environment) for _ in range(2)]
        assert [each.wait(900) for each in both] == [0, 0]
        (record,) = load_records(results)
        assert "recorded already" in (results / "notebooks" / f"{record.name}.log").read_text()
        assert list(results.rglob(".*")) == []

    def test_names_the_nearest_preset(self, tree: Tree) -> None:
        done = tree.snakemake("sweep", preset="digit")
        assert done.returncode != 0
        assert "did you mean digits?" in done.stdout
        assert "Traceback" not in done.stdout

    def test_says_why_a_run_failed_and_keeps_no_notebook_of_it(self, tree: Tree, tmp_path: Path) -> None:
        preset = write_preset(tmp_path / "failing.yaml", [3], device="nowhere")
        done = tree.snakemake("sweep", preset=preset)
        assert done.returncode != 0
        assert "device must be auto or one of" in done.stdout
        assert not list((tree.root / "results" / "failing").rglob("*.ipynb"))
        assert not list((tree.root / "results" / "failing").rglob("run.json"))

    def test_takes_up_again_what_was_killed(self, tree: Tree, tmp_path: Path) -> None:
        preset = write_preset(tmp_path / "killed.yaml", [3], epochs=300)
        results = tree.root / "results" / "killed"
        command = tree.command("sweep", preset=preset)
        with subprocess.Popen(
            command, cwd=tree.root, env=tree.environment, start_new_session=True, stdout=subprocess.DEVNULL
        ) as running:
            wait_for(lambda: any("epoch   2" in log.read_text() for log in results.glob("notebooks/*.log")), running)
            os.killpg(running.pid, signal.SIGKILL)
        assert not list(results.rglob("run.json"))
        assert not [path for path in results.rglob("*.ipynb") if not path.name.startswith(".")]
        assert tree.snakemake("sweep", preset=preset).returncode == 0
        (record,) = load_records(results)
        assert len(record.history) == 300
        assert [path.stem for path in results.glob("notebooks/*.ipynb")] == [record.name]


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    """Wait until the condition holds; it has to come true while the process lives."""
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, "ended before it could be killed"
        assert time.monotonic() < deadline, "did not start within two minutes"
        time.sleep(0.05)


class TestBenchmarks:
    def listed(self) -> list[str]:
        """What `make bench` would run."""
        done = subprocess.run(["make", "-n", "bench"], cwd=ROOT, capture_output=True, text=True, check=True)
        (names,) = re.findall(r"for name in ([\w ]+); do", done.stdout)
        return [str(name) for name in names.split()]

    def test_bench_runs_every_benchmark_that_needs_no_other_packages(self) -> None:
        there = {path.stem for path in (ROOT / "benchmarks").glob("*.py")}
        assert set(self.listed()) == there - {"common", "other_tools"}
        assert {"startup", "measurement", "gpu"} <= there

    def test_each_can_be_tried_quickly_and_keeps_that_from_what_is_recorded(
        self, benchmark: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]
    ) -> None:
        for name in self.listed():
            with pytest.raises(SystemExit, match="2"):
                benchmark(name).main(["--quick"])
            assert "--quick needs an --output of its own" in capsys.readouterr().err, name

    def test_without_a_gpu_its_benchmark_says_so_and_writes_nothing(
        self,
        benchmark: Callable[[str], ModuleType],
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("torch.cuda.is_available", lambda: False)
        output = tmp_path / "gpu.json"
        assert (benchmark("gpu").main(["--output", str(output)]), output.exists()) == (0, False)
        assert capsys.readouterr().out == "There is no CUDA GPU here: nothing was measured and nothing written.\n"

    def test_what_it_would_do_on_a_gpu_runs_on_the_processor(
        self, benchmark: Callable[[str], ModuleType], tmp_path: Path
    ) -> None:
        output = tmp_path / "gpu.json"
        assert benchmark("gpu").main(["--quick", "--device", "cpu", "--output", str(output)]) == 0
        cases = json.loads(output.read_text())["cases"]
        assert [case["blocks"] for case in cases] == [3, 4]
        for case in cases:
            images = case["ours"]["images_per_second"]["median"], case["peer"]["images_per_second"]["median"]
            assert case["ratio"]["median"] == pytest.approx(images[0] / images[1])
        assert cases[0]["operations_per_image"] < cases[1]["operations_per_image"]


class TestFiles:
    def test_conda_and_pip_share_one_list_of_dependencies(self) -> None:
        environment = yaml.safe_load((ROOT / "environment.yml").read_text())
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        python, pip, by_pip = environment["dependencies"]
        assert python == f"python{project['requires-python']}"
        assert pip == "pip"
        assert by_pip == {"pip": ["-e .[book]"]}
        assert "book" in project["optional-dependencies"]

    def test_both_tables_of_contents_are_one_and_name_chapters_that_exist(self) -> None:
        text = (ROOT / "_toc.yml").read_text()
        assert (ROOT / "book" / "_toc.yml").read_text() == text
        toc = yaml.safe_load(text)
        chapters = [toc["root"], *(chapter["file"] for part in toc["parts"] for chapter in part["chapters"])]
        assert [name for name in chapters if not (ROOT / "book" / f"{name}.md").is_file()] == []
        assert {path.stem for path in (ROOT / "book").glob("*.md")} == set(chapters)

    def test_no_tracked_file_is_large(self) -> None:
        if not (ROOT / ".git").exists():
            pytest.skip("not a git checkout")
        command = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        tracked = [ROOT / name for name in listed.split("\0") if name]
        assert [str(path) for path in tracked if path.is_file() and path.stat().st_size > 2_000_000] == []
