"""A Sphinx extension: under each figure one line that says where its data is, what code drew it, and from which runs.

A chapter writes "Data: {download}`x.csv <_data/x.csv>`. Records: results/mnist." behind a figure or a table. From that,
and from the cell that draws the figure, comes "Data: x.csv · Code: figures.concentration · Runs: mnist (21)", with
links to the file, to the source on a page of the site, and to the index of runs. What rests on no run says on what it
does: "Rests on: ..." in the place of "Records: ...".
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

OUR_PACKAGES = ("resperturb", "report")  # packages whose functions draw figures
CELL = re.compile(r"^```\{code-cell\}[^\n]*\n(.*?)^```\s*$", re.DOTALL | re.MULTILINE)
HEADER = re.compile(r"\A---\n(.*?)^---\n", re.DOTALL | re.MULTILINE)
OPTIONS = re.compile(r"\A(?::[\w-]+:[^\n]*\n)+")
RESULTS_FOLDER = re.compile(r"results/([\w-]+)")
RESTS_ON = "Rests on:"


@dataclass(frozen=True)
class Drawing:
    """A function of ours that draws a figure, such as ("resperturb.figures.sweeps", "concentration")."""

    module: str
    function: str

    @property
    def page(self) -> str:
        return f"code/{self.module}"

    @property
    def words(self) -> str:
        return f"{self.module.split('.')[1]}.{self.function}"


def cells_of(chapter: str) -> Iterator[tuple[dict[str, Any], str]]:
    """The code cells of a chapter in MyST Markdown, each with its options and its code."""
    for found in CELL.finditer(chapter):
        text = found[1]
        header = HEADER.match(text)
        options = yaml.safe_load(header[1]) if header else {}
        yield options or {}, OPTIONS.sub("", text[header.end() :] if header else text)


def imported(tree: ast.AST) -> dict[str, str]:
    """Names that code imports from packages of ours, and the dotted name of each."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in OUR_PACKAGES:
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return names


def drawings(chapter: str) -> dict[str, Drawing]:
    """By name of the figure, the function whose value a cell shows as that figure."""
    names: dict[str, str] = {}
    drawn = {}
    for options, code in cells_of(chapter):
        tree = ast.parse(code)
        names |= imported(tree)
        figure = options.get("mystnb", {}).get("figure", {}).get("name")
        last = tree.body[-1] if tree.body else None
        shown = last.value if isinstance(last, ast.Expr) else None
        shown = shown.body if isinstance(shown, ast.IfExp) else shown
        if figure is None or not isinstance(shown, ast.Call):
            continue
        root, _, rest = ast.unparse(shown.func).partition(".")
        if root in names:
            module, _, function = f"{names[root]}.{rest}".strip(".").rpartition(".")
            defined = getattr(importlib.import_module(module), function)  # a folder names the functions of its files
            drawn[figure] = Drawing(defined.__module__, function)
    return drawn


@functools.cache
def count_runs(folder: Path) -> tuple[int, int]:
    """How many runs a folder of results has, and how many of them are stale."""
    records = records_in(folder)
    return len(records), sum(not record.fresh for record in records)


def links_to_runs(text: str, results: Path) -> list[tuple[str, str]]:
    """Of every folder that a text names and that has runs: words, and the index's address for it."""
    links = []
    for folder in dict.fromkeys(RESULTS_FOLDER.findall(text)):
        count, stale = count_runs(results / folder)
        if count:
            links.append((f"{folder} ({count}{f', {stale} stale' if stale else ''})", f"#folder={folder}"))
    return links


def is_sources(node: nodes.Node) -> bool:
    """Whether a paragraph offers the data behind what is above it."""
    return (
        isinstance(node, nodes.paragraph)
        and node.astext().startswith("Data: ")
        and any(child.tagname == "download_reference" for child in node.children)
    )


def source_links(label: str, links: list[nodes.Node]) -> list[nodes.Node]:
    """A label and its links, kept together at the end of a line as far as they can be."""
    parts: list[nodes.Node] = [nodes.inline("", label, classes=["sources-label"]), nodes.Text(" ")]
    for place, link in enumerate(links):
        parts += [nodes.Text(", "), link] if place else [link]
    return [nodes.inline("", "", *parts, classes=["sources-part"])]


def rewrite(app: Any, document: Any, page: str) -> None:
    """Give every line of sources in a chapter its links."""
    if "/" in page:
        return  # pages of runs have their own
    drawn = drawings(Path(app.env.doc2path(page)).read_text(encoding="utf-8"))
    html_pages = app.builder.format == "html"

    def linked(words: str, target: str, fragment: str) -> nodes.Node:
        if not html_pages:
            return nodes.inline("", words)
        return nodes.reference("", words, refuri=f"{app.builder.get_relative_uri(page, target)}{fragment}")

    above: list[Drawing] = []
    for node in list(document.findall(lambda found: isinstance(found, nodes.figure) or is_sources(found))):
        if isinstance(node, nodes.figure):
            above += [drawn[name] for name in (*node["names"], *node["ids"])[:1] if name in drawn]
            continue
        children, text = node.children, node.astext()
        cut = next((n for n, c in enumerate(children) if isinstance(c, nodes.Text) and RESTS_ON in c), len(children))
        files = [child for child in children[:cut] if child.tagname == "download_reference"]
        parts = [source_links("Data:", files)]
        if above:
            words = [linked(d.words, d.page, f"#{d.function}") for d in dict.fromkeys(above)]
            parts.append(source_links("Code:", words))
        if runs := links_to_runs(text, Path(app.srcdir).parent / "results"):
            parts.append(source_links("Runs:", [linked(words, "runs", fragment) for words, fragment in runs]))
        if cut < len(children):
            behind = children[cut].astext().split(RESTS_ON)[1].lstrip()
            parts.append([*source_links(RESTS_ON, []), nodes.Text(behind), *children[cut + 1 :]])
        joined = [child for place, part in enumerate(parts) for child in ([nodes.Text(" · ")] if place else []) + part]
        node.clear()
        node.extend(joined)
        node["classes"].append("sources")
        above = []


def source_of(module: str) -> str:
    """The source of a module, by its dotted name."""
    return inspect.getsource(importlib.import_module(module))


def source_page(module: str, highlight: Any) -> str:
    """The body of a page with a module's source, every function with an anchor of its name.

    Args:
        module: its dotted name.
        highlight: from source to HTML, a line each, in one `pre`.
    """
    source = source_of(module)
    lines = highlight(source).splitlines()
    before, opening, first = lines[0].partition("<pre>")
    lines[0] = first
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            line = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)]) - 1
            lines[line] = f'<span class="source-anchor" id="{html.escape(node.name)}"></span>{lines[line]}'
    title = f"<h1>{html.escape(module)}</h1>"
    return f"{title}\n{before}{opening}{chr(10).join(lines)}"


def source_pages(app: Any) -> Iterator[tuple[str, dict[str, Any], str]]:
    """A page for each module that draws a figure of a chapter."""
    if app.builder.format != "html":
        return
    chapters = [Path(app.env.doc2path(name)) for name in app.env.found_docs if "/" not in name]
    texts = [path.read_text(encoding="utf-8") for path in chapters if path.suffix == ".md"]
    for module in sorted({drawing.module for text in texts for drawing in drawings(text).values()}):
        body = source_page(module, lambda source: app.builder.highlighter.highlight_block(source, "python"))
        yield f"code/{module}", {"title": module, "body": body, "parents": []}, "page.html"


def setup(app: Any) -> dict[str, bool]:
    """What Sphinx calls to load an extension."""
    app.connect("doctree-resolved", rewrite)
    app.connect("html-collect-pages", source_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
