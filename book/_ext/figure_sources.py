"""A Sphinx extension: under each figure one line that says where its data is, what code drew it, and from which runs.

A chapter writes "Data: {download}`x.csv <_data/x.csv>`. Records: results/mnist." behind a figure or a table. From that,
and from the cell that draws the figure, comes "Data: x.csv · Code: figures.concentration · Runs: mnist (21)", with
links to the file, to the source on a page of the site, and to the index of runs. What rests on no run says on what it
does: "Rests on: ..." in the place of "Records: ...". Under a schematic stands "Drawn, not measured.", and the code.
"""

from __future__ import annotations

import ast
import functools
import html
import importlib
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from docutils import nodes

from resperturb.records.record import records_in

IMPORT = re.compile(r"^from (?:resperturb|report)\b.*$", re.MULTILINE)
CELL = re.compile(r"^```\{code-cell\}[^\n]*\n---\n(.*?)^---\n(.*?)^```\s*$", re.DOTALL | re.MULTILINE)
RESULTS_FOLDER = re.compile(r"results/([\w-]+)")
RESTS_ON = "Rests on:"
DRAWN = "Drawn, not measured"


@dataclass(frozen=True)
class Drawing:
    """A function of ours that draws a figure, with the module that defines it."""

    module: str
    function: str
    line: int

    @property
    def words(self) -> str:
        return f"{self.module.split('.')[1]}.{self.function}"


def drawings(chapter: str) -> dict[str, Drawing]:
    """Find, by the name of each figure, the function whose value a cell of a chapter shows as that figure."""
    ours: dict[str, Any] = {}
    exec("\n".join(IMPORT.findall(chapter)), ours)
    drawn = {}
    for header, code in CELL.findall(chapter):
        figure = yaml.safe_load(header).get("mystnb", {}).get("figure", {}).get("name")
        last = ast.parse(code).body[-1]
        shown = last.value if isinstance(last, ast.Expr) else None
        shown = shown.body if isinstance(shown, ast.IfExp) else shown
        if figure and isinstance(shown, ast.Call) and ast.unparse(shown.func).split(".")[0] in ours:
            function = eval(ast.unparse(shown.func), ours)
            drawn[figure] = Drawing(function.__module__, function.__name__, inspect.getsourcelines(function)[1])
    return drawn


@functools.cache
def freshness_of(folder: Path) -> list[bool]:
    """Tell of every run in a folder of results whether it is fresh."""
    return [record.fresh for record in records_in(folder)]


def links_to_runs(text: str, results: Path) -> list[tuple[str, str, str]]:
    """Name every folder of results that a text names and that has runs, with its place in the index."""
    links = []
    for folder in dict.fromkeys(RESULTS_FOLDER.findall(text)):
        fresh = freshness_of(results / folder)
        stale = f", {fresh.count(False)} stale" if False in fresh else ""
        if fresh:
            links.append((f"{folder} ({len(fresh)}{stale})", "runs", f"#folder={folder}"))
    return links


def is_sources(node: nodes.Node) -> bool:
    """Tell whether a paragraph offers the data behind what is above it, or says that it is a drawing."""
    if not isinstance(node, nodes.paragraph):
        return False
    data = node.astext().startswith("Data: ")
    return node.astext() == f"{DRAWN}." or (data and any(c.tagname == "download_reference" for c in node.children))


def rewrite(app: Any, document: Any, page: str) -> None:
    """Give every line of sources in a chapter its links."""
    if "/" in page:
        return  # a page of a run
    results = Path(app.srcdir).parent / "results"
    drawn = drawings(Path(app.env.doc2path(page)).read_text(encoding="utf-8"))

    def linked(words: str, target: str, fragment: str) -> nodes.Node:
        if app.builder.format != "html":
            return nodes.inline("", words)
        return nodes.reference("", words, refuri=f"{app.builder.get_relative_uri(page, target)}{fragment}")

    above: list[Drawing] = []
    for node in list(document.findall(lambda found: isinstance(found, nodes.figure) or is_sources(found))):
        if isinstance(node, nodes.figure):
            above += [drawn[name] for name in (*node["names"], *node["ids"])[:1] if name in drawn]
            continue
        children, text = node.children, node.astext()
        cut = next((n for n, c in enumerate(children) if isinstance(c, nodes.Text) and RESTS_ON in c), len(children))
        parts: dict[str, list[nodes.Node]] = {
            "Data:": [child for child in children[:cut] if child.tagname == "download_reference"],
            "Code:": [linked(d.words, f"code/{d.module}", f"#line-{d.line}") for d in dict.fromkeys(above)],
            "Runs:": [linked(*link) for link in links_to_runs(text, results)],
        }
        line: list[nodes.Node] = [nodes.Text(DRAWN)] if text.startswith(DRAWN) else []
        for label, links in parts.items():
            for place, link in enumerate(links):
                line += [nodes.Text(", " if place else f"{' · ' if line else ''}{label} "), link]
        if cut < len(children):
            line += [nodes.Text(f" · {RESTS_ON}{children[cut].split(RESTS_ON)[1]}"), *children[cut + 1 :]]
        node.clear()
        node.extend(line)
        node["classes"].append("sources")
        above = []


def source_pages(app: Any) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Make a page for each module that draws a figure of a chapter, every line with an anchor."""
    if app.builder.format != "html":
        return
    chapters = Path(app.srcdir).glob("*.md")
    found = [drawings(chapter.read_text(encoding="utf-8")) for chapter in chapters]
    for module in sorted({drawing.module for drawn in found for drawing in drawn.values()}):
        source = inspect.getsource(importlib.import_module(module))
        code = app.builder.highlighter.highlight_block(source, "python", lineanchors="line")
        yield f"code/{module}", {"title": module, "body": f"<h1>{html.escape(module)}</h1>{code}"}, "page.html"


def setup(app: Any) -> None:
    app.connect("doctree-resolved", rewrite)
    app.connect("html-collect-pages", source_pages)
