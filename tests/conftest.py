"""What several test files share: a copy of the tree to work on, a tiny sweep made in it, the book built from that."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

if "PYTEST_XDIST_WORKER" in os.environ:  # a process a core: threads that compete for cores wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import yaml

from report.claims import LedgerRow
from report.ledger import ledger
from resperturb.records.sweeps import Sweep, load_sweeps

ROOT = Path(__file__).parent.parent
# The package works without these: a batch machine has torch, but not papermill.
NOTEBOOK_PACKAGES = ("IPython", "ipykernel", "jupyter_book", "myst_nb", "nbformat", "papermill", "snakemake")
# What a checkout does not have: environments, caches, and what is made.
MADE = (".git", ".venv", "_build", ".snakemake", "__pycache__", ".*_cache", ".hypothesis", ".cache", "*.egg-info")
MADE_HERE = {"book": {"runs", "_data"}, "results": {"digits", "runs"}}

TINY = {"dataset": "digits", "epochs": 1, "train_size": 64, "test_size": 32, "measured_images": 16}


SHARED = ("tree", "kernel", "rows")  # made once, at the price of seconds and minutes


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that share the copy of the tree, the kernel or the ledger go to one process."""
    for item in items:
        for name in SHARED:
            if name in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.xdist_group(name))


def copy_tree(destination: Path) -> Path:
    """The project as a fresh clone has it, changes that are not committed included."""
    by_name = shutil.ignore_patterns(*MADE)

    def ignored(folder: str, names: list[str]) -> set[str]:
        place = Path(folder).relative_to(ROOT)
        made = MADE_HERE.get(str(place), set()) | ({"notebooks"} if place.parts[:1] == ("results",) else set())
        return by_name(folder, names) | (made & set(names))

    return Path(shutil.copytree(ROOT, destination, ignore=ignored, symlinks=True))


def write_preset(path: Path, depths: list[int], **experiment: object) -> Path:
    path.write_text(yaml.safe_dump({"depths": depths, "seeds": [0], "experiment": {**TINY, **experiment}}))
    return path


@dataclass(frozen=True)
class Tree:
    """A copy of the project, and its tools run on its own sources."""

    root: Path

    @property
    def environment(self) -> dict[str, str]:
        tools = Path(sys.executable).parent
        path = f"{tools}{os.pathsep}{os.environ['PATH']}"
        return {
            **os.environ,
            "PYTHONPATH": str(self.root),
            "PATH": path,
            "OMP_NUM_THREADS": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def command(self, target: str, *options: str, preset: Path | str, results: str | None = None) -> list[str]:
        """Snakemake as the Makefile calls it."""
        flags = ["--cores", "2", "--nolock", "--rerun-incomplete", "--keep-going", "--quiet", "rules", "host", "reason"]
        settings = [f"preset={preset}", *([f"results={results}"] if results else [])]
        return [sys.executable, "-m", "snakemake", target, *flags, *options, "--config", *settings]

    def snakemake(
        self, target: str, *options: str, preset: Path | str, results: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        return self.call(self.command(target, *options, preset=preset, results=results))

    def call(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.root,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=900,
        )


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    return Tree(copy_tree(tmp_path_factory.mktemp("tree") / "project"))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A preset of two runs that take a second each."""
    return write_preset(tmp_path_factory.mktemp("preset") / "tiny.yaml", [3, 4])


@pytest.fixture(scope="session")
def swept(tree: Tree, tiny: Path) -> Tree:
    """The tree after its tiny sweep, by Snakemake and papermill."""
    done = tree.snakemake("sweep", preset=tiny)
    assert done.returncode == 0, done.stdout
    return tree


@pytest.fixture(scope="session")
def benchmark() -> Callable[[str], ModuleType]:
    """A benchmark as a module, so that it does not import torch in a process of its own."""

    def loaded(name: str) -> ModuleType:
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(str(ROOT / "benchmarks"))
            return importlib.import_module(name)

    return loaded


@pytest.fixture(scope="session")
def sweeps() -> dict[str, Sweep]:
    return load_sweeps(ROOT / "results", own=False)


@pytest.fixture(scope="session")
def rows(sweeps: dict[str, Sweep]) -> dict[str, LedgerRow]:
    """The ledger by id."""
    listed = ledger(sweeps)
    found = {row.id: row for row in listed}
    assert len(found) == len(listed), "two rows have one id"
    return found


@pytest.fixture(scope="session")
def kernel() -> Iterator[Any]:
    """One process for all notebooks: each of its own would import torch."""
    from jupyter_client import AsyncKernelManager
    from nbclient.util import run_sync

    manager = AsyncKernelManager(kernel_name="python3")
    yield manager
    if manager.has_kernel:
        run_sync(manager.shutdown_kernel)(now=True)


@pytest.fixture
def execute(kernel: Any, tmp_path: Path) -> Callable[..., Any]:
    """A notebook with its parameters put in by papermill, executed in an empty folder and namespace."""
    from nbclient import NotebookClient
    from nbformat.v4 import new_code_cell
    from papermill.iorw import load_notebook_node
    from papermill.parameterize import parameterize_notebook

    def executed(name: str, **parameters: object) -> Any:
        notebook = parameterize_notebook(load_notebook_node(str(ROOT / "notebooks" / f"{name}.ipynb")), parameters)
        notebook.cells.insert(0, new_code_cell(f"%reset -f\n%cd -q {tmp_path}"))
        return NotebookClient(notebook, km=kernel, timeout=300).execute(cwd=str(tmp_path))

    return executed


@dataclass(frozen=True)
class Site:
    """The built book."""

    tree: Tree
    log: str

    @property
    def html(self) -> Path:
        return self.tree.root / "_build" / "html"

    @property
    def pages(self) -> list[Path]:
        """All pages that have a source; Sphinx and its theme add some of their own."""
        sources = self.html / "_sources"
        documents = {path.relative_to(sources).with_suffix(".html") for path in sources.rglob("*") if path.is_file()}
        return sorted(self.html / document for document in documents)


@pytest.fixture(scope="session")
def site(swept: Tree, tiny: Path) -> Site:
    """The book of the tree: chapters from the records that are shipped, pages of the tiny sweep's runs."""
    done = swept.snakemake("book", preset=tiny)
    warnings = [line for line in done.stdout.splitlines() if "WARNING:" in line or "ERROR:" in line]
    assert done.returncode == 0, "\n".join(warnings) or done.stdout
    return Site(swept, done.stdout)


@pytest.fixture(scope="session")
def chromium() -> str:
    """A browser of the system's; playwright's own would be another download."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        message = f"no browser to look at the pages with: install one of {', '.join(names)}"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return found


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Any]:
    """A headless Chromium, started once."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens an address in a window of some width; what goes wrong on a page, or asks another host, fails the test."""
    pages, trouble = [], []

    def opened(address: str, width: int = 1280) -> Any:
        page = browser.new_page(viewport={"width": width, "height": 900})

        def note(text: str) -> None:
            trouble.append(f"{urlsplit(page.url).path}: {text}")

        page.on("console", lambda message: note(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: note(str(error)))
        page.on(
            "requestfailed",  # a picture asked for last may be given up when the page is left
            lambda request: note(f"failed: {request.url}") if request.failure != "net::ERR_ABORTED" else None,
        )
        page.on(
            "response", lambda response: note(f"{response.status}: {response.url}") if response.status >= 400 else None
        )
        hosts = ("", urlsplit(address).netloc)
        page.on("request", lambda request: None if urlsplit(request.url).netloc in hosts else note(request.url))
        pages.append(page)
        page.goto(address)
        return page

    yield opened
    for page in pages:
        page.close()
    assert trouble == []
