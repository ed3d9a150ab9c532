"""A Sphinx extension: the site stands alone, opens from a folder as from a server, and carries no more than it uses."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

MATHJAX_PARTS = ("core", "input/tex", "output/chtml", "a11y/assistive-mml")
"""What formulas need; tex-chtml.js, the whole, is twice as heavy."""

UNUSED = (
    "mathjax/*-*.js",  # bundles; the loader takes the parts
    "mathjax/latest.js",
    "mathjax/core.js.map",
    "mathjax/adaptors",
    "mathjax/ui",
    "mathjax/sre",
    "mathjax/a11y/[!a]*",
    "mathjax/input/mml*",
    "mathjax/input/asciimath.js",
    "mathjax/input/tex-*.js",
    "mathjax/output/svg*",
    "locales",  # used while the pages are written
    "scripts/*.map",
    "styles/*.map",
    "vendor/fontawesome/webfonts/*.ttf",  # every browser takes the .woff2
)
"""Files below _static that no page asks for."""

FORMULAS = ('class="math', "\\(", "\\[")
"""Signs of a formula in a page, or in what a cell shows."""

QUOTE_NOTHING_FROM_FILES = "if (location.protocol === 'file:') DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;"
"""The search fetches the pages it finds to quote from them, which browsers forbid on file://; the finding is local."""


def only_the_parts(app: Any, config: Any) -> None:
    """Mathematics from the parts it needs."""
    config.mathjax_path = "mathjax/startup.js"
    config.mathjax3_config = {
        **(config.mathjax3_config or {}),
        "loader": {"load": list(MATHJAX_PARTS)},
        "options": {**(config.mathjax3_config or {}).get("options", {}), "enableMenu": False},
    }


def search_from_files(app: Any, page: str, template: str, context: dict[str, Any], document: Any) -> None:
    if page == "search":
        app.add_js_file(None, body=QUOTE_NOTHING_FROM_FILES)


def mathematics_where_it_is(app: Any, page: str, template: str, context: dict[str, Any], document: Any) -> None:
    """Jupyter Book loads the scripts for formulas on every page, half of a page's weight."""
    if any(sign in context.get("body", "") for sign in FORMULAS):
        return
    scripts = context.get("script_files", [])
    context["script_files"] = [
        script for script in scripts if "mathjax" not in f"{script} {getattr(script, 'attributes', '')}".lower()
    ]


def trim(static: Path) -> None:
    """Take out of a site's _static what no page asks for."""
    for pattern in UNUSED:
        for path in static.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    script = static / "scripts" / "fontawesome.js"
    if script.is_file():  # every page names it; the theme's style sheet has the same icons as a font, a tenth as heavy
        script.write_text("// The icons are drawn by the theme's style sheet.\n", encoding="utf-8")


def finish(app: Any, error: Exception | None) -> None:
    if error is None and app.builder.format == "html":
        trim(Path(app.outdir, "_static"))


def setup(app: Any) -> dict[str, bool]:
    """What Sphinx calls to load an extension."""
    app.connect("config-inited", only_the_parts, priority=900)
    app.connect("html-page-context", search_from_files, priority=400)  # before others take the list of scripts
    app.connect("html-page-context", mathematics_where_it_is, priority=900)  # when the scripts are on the list
    app.connect("build-finished", finish, priority=900)  # when all others have copied theirs
    return {"parallel_read_safe": True, "parallel_write_safe": True}
