"""A Sphinx extension: the site stands alone, opens from a folder as from a server, and carries no more than it uses."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

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

OF_ONE_PAGE = ("explorer", "runs", "interactive", "steps", "training", "vendor/d3-", "vendor/plot-")
"""Prefixes of scripts and styles that only pages naming them load."""

QUOTE_NOTHING_FROM_FILES = "if (location.protocol === 'file:') DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;"
"""The search fetches the pages it finds to quote from them, which browsers forbid on file://; the finding is local."""


def configure_scripts(app: Any, config: Any) -> None:
    """Load mathematics in parts; take off all pages what Jupyter Book puts there, every file of _static."""
    config.mathjax_path = "mathjax/startup.js"  # sphinx-mathjax-offline has set the whole, twice as heavy
    for files in (config.html_js_files, config.html_css_files):
        names = [(file, file[0] if isinstance(file, tuple) else file) for file in files]
        files[:] = [file for file, name in names if not str(name).startswith(OF_ONE_PAGE)]


def leave_out_scripts(app: Any, page: str, template: str, context: dict[str, Any], document: Any) -> None:
    """Leave out scripts for kernels elsewhere, and on pages without formulas those for them, half a page's weight."""
    unused = ["thebe"] + ["mathjax"] * (not any(sign in context.get("body", "") for sign in FORMULAS))
    scripts = [(script, f"{script} {getattr(script, 'attributes', '')}".lower()) for script in context["script_files"]]
    context["script_files"] = [script for script, words in scripts if not any(name in words for name in unused)]


def search_from_files(app: Any, page: str, template: str, context: dict[str, Any], document: Any) -> None:
    """Search without a server."""
    if page == "search":
        app.add_js_file(None, body=QUOTE_NOTHING_FROM_FILES)


def trim(app: Any, error: Exception | None) -> None:
    """Take out of the site's _static what no page asks for."""
    static = Path(app.outdir, "_static")
    if error is not None or app.builder.format != "html":
        return
    for path in (path for pattern in UNUSED for path in static.glob(pattern)):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    # Every page names this script; the theme's style sheet has the same icons as a font, a tenth as heavy.
    script = static / "scripts" / "fontawesome.js"
    script.write_text("// The icons are drawn by the theme's style sheet.\n", encoding="utf-8")


def setup(app: Any) -> None:
    app.connect("config-inited", configure_scripts, priority=900)  # when all files are on the lists
    app.connect("html-page-context", search_from_files, priority=400)  # before others take the list of scripts
    app.connect("html-page-context", leave_out_scripts, priority=900)  # when the scripts are on the list
    app.connect("build-finished", trim, priority=900)  # when all others have copied theirs
