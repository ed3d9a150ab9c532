"""The built book, read as files: it is whole, its figures can be read aloud, and nothing in it needs a network."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path

import pytest
from bs4 import Tag
from conftest import Site
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook
from pages import article, soup

from _ext.build import start_kernels_again
from _ext.run_pages import main as write_pages
from resperturb.records.record import load_records

pytestmark = pytest.mark.book


def test_every_chapter_is_there(site: Site) -> None:
    chapters = {path.stem for path in (site.tree.root / "book").glob("*.md")}
    assert chapters <= {page.stem for page in site.pages}
    assert "build succeeded." in site.log  # Sphinx says so where there was no warning


def test_every_image_says_what_it_shows(site: Site) -> None:
    bad = []
    for page in site.pages:
        for image in soup(page).find_all("img"):
            words = str(image.get("alt", "")).strip()
            if len(words) < 4 or "/" in words or re.search(r"\.(png|svg|jpe?g)$", words):
                bad.append(f"{page.name}: {image}")
    assert bad == []


def test_every_figure_has_a_number_and_a_caption(site: Site) -> None:
    figures, bad = 0, []
    for page in site.pages:
        for image in article(page).find_all("img"):
            figures += 1
            caption = figure.find("figcaption") if (figure := image.find_parent("figure")) else None
            number = caption.find(class_="caption-number") if caption else None
            words = caption.find(class_="caption-text") if caption else None
            if not (number and words and words.get_text(strip=True).rstrip("#")):
                bad.append(f"{page.name}: {image.get('alt')}")
    assert bad == []
    assert figures > 0


def test_every_quantity_in_prose_was_filled_in(site: Site) -> None:
    assert [page.name for page in site.pages if "{glue" in article(page).get_text()] == []


def test_runs_have_pages_and_were_not_executed_again(site: Site) -> None:
    records = load_records(site.tree.root / "results" / "tiny")
    executed = [line for line in site.log.splitlines() if "Executing notebook" in line]
    assert executed, "chapters are executed when the book is built"
    assert [line for line in executed if "runs/" in line] == []
    for record in records:
        page = article(site.html / "runs" / f"{record.name}.html")
        heading = page.find("h1")
        assert isinstance(heading, Tag)
        assert heading.get_text().startswith(f"digits, {record.blocks} blocks, seed 0, 1 epoch")
        assert record.run["provenance"]["started"] in page.get_text()
        assert page.find_all("figure")
    listed = {a["href"] for a in soup(site.html / "runs.html").find_all("a", href=re.compile(r"^runs/"))}
    assert {f"runs/{record.name}.html" for record in records} <= listed


def test_pages_of_runs_that_are_gone_go(site: Site, tmp_path: Path) -> None:
    executed = [str(path) for path in sorted((site.tree.root / "results/tiny/notebooks").glob("*.ipynb"))]
    assert write_pages(executed, tmp_path) == 0
    assert write_pages(executed[:1], tmp_path) == 0
    assert [path.name for path in tmp_path.iterdir()] == [Path(executed[0]).name]
    page = json.loads((tmp_path / Path(executed[0]).name).read_text())
    assert "papermill" not in json.dumps([page["metadata"], [cell["metadata"] for cell in page["cells"]]])


def test_a_damaged_notebook_is_refused_in_one_sentence(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = load_records(site.tree.root / "results" / "tiny")[0]
    executed = tmp_path / "notebooks" / f"{record.name}.ipynb"
    executed.parent.mkdir()
    executed.write_text('{"cells": [')
    (tmp_path / record.name).symlink_to(record.folder)
    assert write_pages([str(executed)], tmp_path / "runs") == 2
    assert "is no readable notebook" in capsys.readouterr().err


def test_a_kernel_that_lost_its_port_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NotebookClient, "async_start_new_kernel_client", NotebookClient.async_start_new_kernel_client)
    client = NotebookClient(new_notebook(cells=[new_code_cell("1 + 1")]), kernel_name="python3")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        client.km = client.create_kernel_manager()
        client.km.cache_ports, client.km.shell_port = False, taken.getsockname()[1]
        start_kernels_again()
        (cell,) = client.execute().cells
    assert cell.outputs[0]["data"]["text/plain"] == "2"
