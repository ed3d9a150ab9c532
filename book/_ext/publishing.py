"""A Sphinx extension: the theme's options that follow from the repository, and a footer that says what was built.

Where the repository is not known, no button or link is shown that would lead nowhere.
"""

from __future__ import annotations

import json
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from report.repository import BRANCH, Repository, find_repository
from resperturb.records.provenance import ask_git
from resperturb.records.sweeps import default_sweep

BUTTONS = ("use_repository_button", "use_issues_button", "use_edit_page_button")
BINDER = """name: resperturb
channels: [conda-forge]
dependencies:
  - python=3.12
  - git
  - pip
  - pip:
      - "resperturb[book] @ git+{url}@{branch}"
"""
"""The environment in which Binder opens the branch of the built book, which has no package of its own."""


def footer(root: Path, repository: Repository | None, rights: str = "") -> str:
    """Compose one line: whose the book is, version, commit, days of the newest record and of the build."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    parts = [rights, f"resperturb {project['version']}"]
    if (root / ".git").exists() and (commit := ask_git(root, "rev-parse", "HEAD")):
        words = f"commit {commit[:7]}"
        address = f"https://github.com/{repository.name}/commit/{commit}" if repository and repository.name else ""
        parts.append(f'<a href="{address}">{words}</a>' if address else words)
    records = (root / "results").glob("*/[!.]*/run.json")
    started = [json.loads(path.read_text(encoding="utf-8"))["provenance"]["started"] for path in records]
    days = {"records of": datetime.fromisoformat(max(started)) if started else None, "built on": datetime.now(UTC)}
    parts += [f"{words} {moment.day} {moment:%B %Y}" for words, moment in days.items() if moment]
    return " · ".join(filter(None, parts))


OWN_DIGITS = "All that this site says of the digits comes from your own runs in results/digits; the README has ours."
"""The numbers of the default sweep differ a little from machine to machine."""


def notice(results: Path) -> str:
    """Say above every page that the digits are the reader's own runs, where they are."""
    own, shipped = default_sweep(results), default_sweep(results, own=False)
    return OWN_DIGITS if own.folder != shipped.folder else ""


def configure(app: Any, config: Any) -> None:
    """Complete the options of `_config.yml` with the repository, or take out the buttons that need one."""
    root, repository = Path(app.srcdir).parent, app.resperturb_repository
    rights = f"© {config.copyright} {config.author}"
    options = {**config.html_theme_options, "extra_footer": footer(root, repository, rights)}
    if words := notice(root / "results"):
        options["announcement"] = words
    if repository and repository.name:
        options |= {"repository_url": repository.url, "repository_branch": BRANCH, **dict.fromkeys(BUTTONS, True)}
    else:
        options.pop("launch_buttons", None)
    config.html_theme_options = options
    if repository:
        config.html_baseurl = config.ogp_site_url = repository.site


def correct_buttons(app: Any, page: str, template: str, context: dict[str, Any], document: Any) -> None:
    """Point launch buttons to the executed notebook, since Colab reads no Markdown; a run's page cannot be edited."""
    for group in context.get("header_buttons", []):
        buttons = group.get("buttons", [])
        if group.get("label") == "launch-buttons":
            links = app.resperturb_repository.launch_links(f"_sources/{page}.ipynb")
            group["buttons"] = [button | {"url": links[button["text"]]} for button in buttons]
        elif group.get("label") == "source-buttons" and page.startswith("runs/"):
            group["buttons"] = [button for button in buttons if button["label"] != "source-edit-button"]


def publish(app: Any, error: Exception | None) -> None:
    """Write what GitHub Pages and Binder need beside the pages."""
    if error is not None or app.builder.name != "html":
        return
    site, repository = Path(app.outdir), app.resperturb_repository
    (site / ".nojekyll").touch()  # GitHub Pages leaves out names with an underscore otherwise
    if repository and repository.name:
        (site / "binder").mkdir(exist_ok=True)
        environment = BINDER.format(url=repository.url, branch=BRANCH)
        (site / "binder" / "environment.yml").write_text(environment, encoding="utf-8")


def setup(app: Any) -> None:
    app.resperturb_repository = find_repository(Path(app.srcdir).parent)
    app.connect("config-inited", configure)
    app.connect("html-page-context", correct_buttons, priority=502)  # the theme has made its buttons by then
    app.connect("build-finished", publish)
