"""What ties the book to its repository: found or left out, never guessed; notebooks that run where no checkout is."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from bs4 import BeautifulSoup
from conftest import ROOT, Site

from _ext.handouts import first_cell
from _ext.publishing import OWN_DIGITS, footer, notice
from report.repository import EXPERIMENTS, Repository, experiments_table, find_repository

GITHUB = Repository("https://github.com/someone/some-book", "someone/some-book", "https://someone.github.io/some-book/")


def checkout(folder: Path, origin: str) -> Path:
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
    subprocess.run(["git", "remote", "add", "origin", origin], cwd=folder, check=True)
    return folder


@pytest.mark.parametrize("origin", ["https://github.com/someone/some-book.git", "git@github.com:someone/some-book.git"])
def test_the_remote_of_a_checkout_is_taken_where_it_is_on_github(tmp_path: Path, origin: str) -> None:
    assert find_repository(checkout(tmp_path, origin), {}) == GITHUB


def test_an_unknown_repository_stays_unknown(tmp_path: Path) -> None:
    assert find_repository(tmp_path, {}) is None
    assert find_repository(checkout(tmp_path, "/somewhere/else"), {}) is None
    elsewhere = find_repository(tmp_path, {"RESPERTURB_REPOSITORY": "/somewhere/else"})
    assert elsewhere == Repository("/somewhere/else")
    assert elsewhere.launch_links("a.ipynb") == {}
    assert "colab" not in experiments_table(ROOT, elsewhere)


def test_the_environment_comes_before_the_remote(tmp_path: Path) -> None:
    root = checkout(tmp_path, "https://github.com/someone/some-book")
    actions = {"GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "a/b"}
    assert find_repository(root, actions) == Repository("https://github.com/a/b", "a/b", "https://a.github.io/b/")
    named = find_repository(root, {**actions, "RESPERTURB_REPOSITORY": "c", "RESPERTURB_SITE": "https://d.org/e"})
    assert named is not None
    assert (named.url, named.site) == ("c", "https://d.org/e/")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A book of one page, by the configuration and the extensions of ours, built where the repository is known."""
    root = tmp_path_factory.mktemp("published")
    top = ["_config.yml", "pyproject.toml", "notebooks", "results/shipped-digits"]
    book = ["_ext", "report", "_static", "references.bib"]
    for name in [*top, *(f"book/{part}" for part in book)]:
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).symlink_to(ROOT / name)
    (root / "book/_toc.yml").write_text("format: jb-book\nroot: index\n")
    header = (ROOT / "book" / "idea.md").read_text().split("# ")[0]
    (root / "book/index.md").write_text(f"{header}# A book\n\nA page of words.\n\n```{{code-cell}}\n1 + 1\n```\n")
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": tools, "RESPERTURB_REPOSITORY": GITHUB.url}
    command = ["jupyter-book", "build", "book/", "-W", "--keep-going"]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return root / "_build" / "html"


def test_where_the_repository_is_known_buttons_and_tags_lead_there(published: Path) -> None:
    page = BeautifulSoup((published / "index.html").read_text(), "html.parser")
    links = {str(link["href"]) for link in page.find_all("a", href=True)}
    file = "_sources/index.ipynb"
    assert (published / file).is_file()
    assert {
        file,
        GITHUB.url,
        f"{GITHUB.url}/edit/main/book/index.md",
        f"https://colab.research.google.com/github/someone/some-book/blob/gh-pages/{file}",
        f"https://mybinder.org/v2/gh/someone/some-book/gh-pages?urlpath=lab/tree/{file}",
    } <= links
    tags = {str(tag["property"]): tag["content"] for tag in page.find_all("meta", property=True)}
    assert tags["og:image"] == f"{GITHUB.site}_static/card.png"
    assert tags["og:url"] == f"{GITHUB.site}index.html"
    assert (published / "_static" / "card.png").is_file()
    environment = yaml.safe_load((published / "binder/environment.yml").read_text())
    assert environment["dependencies"][-1]["pip"] == [f"resperturb[book] @ git+{GITHUB.url}@main"]


def test_a_site_of_own_digits_says_so(tmp_path: Path) -> None:
    for name, words in (("shipped-digits", ""), ("digits", OWN_DIGITS)):
        (tmp_path / name).symlink_to(ROOT / "results" / "shipped-digits")
        assert notice(tmp_path) == words


def test_the_footer_says_version_commit_and_days() -> None:
    line = footer(ROOT, None)
    assert "resperturb 0.1.0" in line
    assert "records of " in line
    assert "built on " in line
    assert "<a" not in line


def code_of(repository: Repository | None, folder: str = "book") -> str:
    return "".join(first_cell(repository, folder)["source"])


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A repository with what the first cell looks for, to be cloned."""
    root = tmp_path / "source"
    for name in ("resperturb/__init__.py", "results/a.json", "book/a.md"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for step in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "all"]):
        subprocess.run([*git, *step], cwd=root, check=True)
    return root


def test_the_first_cell_fetches_what_is_not_there(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delenv("RESPERTURB_REPOSITORY", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    commands, run = [], subprocess.run

    def instead(command: list[str], **options: object) -> subprocess.CompletedProcess[bytes]:
        commands.append(command)
        return subprocess.CompletedProcess(command, 0) if "pip" in command else run(command, **options)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(subprocess, "run", instead)
    exec(code_of(Repository(str(source))), {})
    clone = elsewhere / "resperturb-repository"
    assert Path.cwd() == clone / "book"
    assert sys.path[0] == str(clone)
    assert [sys.executable, "-m", "pip", "install", "--quiet", "-e", f"{clone}[book]"] in commands
    monkeypatch.chdir(elsewhere)
    commands.clear()
    exec(code_of(Repository(str(source)), "."), {})  # a second notebook finds the clone
    assert Path.cwd() == clone
    assert [command for command in commands if command[0] == "git"] == []


def test_the_first_cell_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RESPERTURB_REPOSITORY", raising=False)
    with pytest.raises(RuntimeError, match="RESPERTURB_REPOSITORY"):
        exec(code_of(None), {})
    with pytest.raises(RuntimeError, match="could not clone"):
        exec(code_of(Repository(str(tmp_path / "nowhere"))), {})


def test_the_card_has_the_size_that_previews_show() -> None:
    from matplotlib.image import imread

    assert imread(ROOT / "book/_static/card.png").shape[:2] == (630, 1200)


@pytest.mark.parametrize("path", sorted((ROOT / ".github/workflows").glob("*.yml")), ids=lambda path: path.stem)
def test_workflows_ask_for_no_more_than_they_need(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text())
    assert "permissions" in workflow
    assert "pull_request_target" not in path.read_text()  # would hand a fork's code this repository's rights
    assert workflow[True]  # YAML 1.1 reads `on` so
    for name, job in workflow["jobs"].items():
        assert job["timeout-minutes"] <= 60
        assert all(("uses" in step) != ("run" in step) for step in job["steps"])
        for step in (step for step in job["steps"] if "uses" in step):
            assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", step["uses"])  # a tag can be moved to other code
            pushes = path.stem == "preview" and name == "remove"
            assert "/checkout@" not in step["uses"] or pushes or step["with"]["persist-credentials"] is False
        granted = job.get("permissions", workflow["permissions"])
        writes = [scope for scope, level in granted.items() if level == "write"]
        assert writes == (["contents"] if name in ("publish", "show", "remove") else [])
        if path.stem == "preview" and writes:
            assert "head.repo.full_name == github.repository" in job["if"]


def test_the_citation_names_this_version() -> None:
    import tomllib

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["version"] == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


@pytest.mark.book
def test_every_chapter_offers_its_executed_notebook(site: Site) -> None:
    for source in (site.tree.root / "book").glob("*.md"):
        if "code-cell" not in source.read_text():
            continue
        file = site.html / "_sources" / f"{source.stem}.ipynb"
        cells = json.loads(file.read_text())["cells"]
        assert "".join(cells[0]["source"]) == code_of(None)
        assert any(cell.get("outputs") for cell in cells), f"{file.name} was not executed"
        page = BeautifulSoup((site.html / f"{source.stem}.html").read_text(), "html.parser")
        assert page.find("a", href=f"_sources/{source.stem}.ipynb")
        assert not page.find("a", href=lambda address: address and "colab" in address)  # nobody knows the repository
    experiments = {path.name for path in (site.tree.root / "notebooks").glob("*.ipynb")}
    assert {path.name for path in (site.html / EXPERIMENTS).iterdir()} == experiments


@pytest.mark.book
def test_a_notebook_taken_along_runs_to_its_end(site: Site, tmp_path: Path) -> None:
    import nbformat
    from nbclient import NotebookClient

    clone = tmp_path / "resperturb-repository"
    clone.symlink_to(site.tree.root)
    notebook = nbformat.read(site.html / "_sources" / "idea.ipynb", as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute(
        env={**os.environ, "PYTHONPATH": "", "PIP_NO_INDEX": "1"}
    )
    assert all(cell.get("execution_count") for cell in notebook.cells if cell.cell_type == "code")
