"""A Sphinx extension: what ties the site to its repository, and says of what it was made.

Where the repository is not known, no button or link is shown that would lead nowhere. Where it is: links to it, to its
issues and to each page's source, Colab and Binder for every notebook, and the tags a link to the book is shown by.
"""

from __future__ import annotations

import html
import json
import re
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from _ext.handouts import executed, write_handouts
from report.repository import NOTEBOOK_FOLDER, Repository, find_repository, git

CARD = "_static/card.png"
CARD_WORDS = "Average scaled perturbation of trained residual networks against depth, with fitted power laws."
BINDER = "binder/environment.yml"
MADE_PAGES = "runs/"  # not in the repository, so that there is nothing to edit


def root_of(app: Any) -> Path:
    return Path(app.srcdir).parent


def day(moment: date) -> str:
    return f"{moment.day} {moment:%B %Y}"


def records_day(root: Path) -> str:
    """The day the newest record was begun; "" where there is none."""
    started = []
    for path in (root / "results").glob("*/[!.]*/run.json"):
        try:
            started.append(json.loads(path.read_text(encoding="utf-8"))["provenance"]["started"])
        except (ValueError, KeyError, TypeError):
            continue  # the chapters say which record cannot be read
    return day(datetime.fromisoformat(max(started))) if started else ""


def footer(root: Path, repository: Repository | None, version: str, rights: str = "") -> str:
    """One line: whose it is, version, commit, days of the records and of the build."""
    parts = [*([rights] if rights else []), f"resperturb {version}"]
    if (root / ".git").exists() and (commit := git(root, "rev-parse", "HEAD")):
        short = commit[:7]
        where = (
            f"https://github.com/{'/'.join(repository.github)}/commit/{commit}"
            if repository and repository.github
            else ""
        )
        parts.append(f'commit <a href="{where}">{short}</a>' if where else f"commit {short}")
    if newest := records_day(root):
        parts.append(f"records of {newest}")
    parts.append(f"built on {day(datetime.now(UTC).date())}")
    return " · ".join(parts)


def package_version(root: Path) -> str:
    import tomllib

    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]


def configure(app: Any, config: Any) -> None:
    """Options of the theme, and of the tags, that follow from the repository."""
    root, repository = root_of(app), app.resperturb_repository
    line = footer(root, repository, package_version(root), f"© {config.copyright} {config.author}")
    options: dict[str, Any] = {"extra_footer": line}
    if repository and repository.github:
        options |= {
            "repository_url": repository.url,
            "repository_branch": repository.branch,
            "repository_provider": "github",
            "path_to_docs": "book",
            "use_repository_button": True,
            "use_issues_button": True,
            "use_edit_page_button": True,
        }
    config.html_theme_options = {**config.html_theme_options, **options}
    if repository and repository.site:
        config.html_baseurl = repository.site
        config.ogp_site_url = repository.site
        config.ogp_site_name = config.html_title or config.project
        config.ogp_social_cards = {"enable": False}
        config.ogp_image = repository.site + CARD
        config.ogp_image_alt = CARD_WORDS
        config.ogp_custom_meta_tags = [
            '<meta property="og:image:width" content="1200" />',
            '<meta property="og:image:height" content="630" />',
            '<meta name="twitter:card" content="summary_large_image" />',
        ]


def launch_buttons(repository: Repository | None, file: str) -> dict[str, Any] | None:
    """The theme's group of buttons that open a notebook elsewhere; None where it cannot be opened."""
    links = [("Colab", repository.colab(file)), ("Binder", repository.binder(file))] if repository else []
    buttons = [
        {"type": "link", "text": name, "tooltip": f"Open this notebook in {name}", "url": url, "icon": "fas fa-rocket"}
        for name, url in links
        if url
    ]
    if not buttons:
        return None
    tooltip = "Run this notebook elsewhere"
    return {"type": "group", "tooltip": tooltip, "icon": "fas fa-rocket", "buttons": buttons, "label": "launch-buttons"}


def add_buttons(app: Any, page: str, template: str, context: dict[str, Any], document: Any) -> None:
    """Beside the theme's own: download of the executed notebook, Colab and Binder."""
    groups = context.get("header_buttons", [])
    if page.startswith(MADE_PAGES):
        for group in groups:
            if group.get("label") == "source-buttons":
                group["buttons"] = [b for b in group["buttons"] if b.get("label") != "source-edit-button"]
    if document is None or not executed(Path(app.outdir).parent, page).is_file():
        return
    file = f"{NOTEBOOK_FOLDER}/{page}.ipynb"
    for group in groups:
        if group.get("label") == "download-buttons":
            link = {"type": "link", "url": context["pathto"](file, 1), "text": "executed notebook (.ipynb)"}
            extra = {"tooltip": "Download the executed notebook", "icon": "fas fa-code", "label": "download-executed"}
            group["buttons"].insert(0, link | extra)
    if buttons := launch_buttons(app.resperturb_repository, file):
        groups.insert(0, buttons)


LENGTH = 200


def page_description(app: Any, page: str, template: str, context: dict[str, Any], document: Any) -> None:
    """A page's description: its first paragraph as a reader sees it, without citations and the signs of formulas."""
    from docutils import nodes

    if document is None:
        return
    texts = (plain_text(paragraph) for paragraph in document.findall(nodes.paragraph))
    words = next(filter(None, texts), "")
    if len(words) > LENGTH:
        words = words[: LENGTH - 2].rsplit(" ", 1)[0] + " …"
    pattern = r'(<meta (?:property="og:description"|name="description") content=")[^"]*'
    tags = re.sub(pattern, lambda found: found[1] + html.escape(words), context.get("metatags", ""))
    if words and 'name="description"' not in tags:  # the tags above need an address, this one does not
        tags += f'<meta name="description" content="{html.escape(words)}" />\n'
    context["metatags"] = tags


SIGNS = {r"\sqrt": "√", r"\lVert": "‖", r"\rVert": "‖", r"\times": "×", "_{l+1}": "ₗ₊₁", "_l": "ₗ", "-": "−"}


def plain_text(paragraph: Any) -> str:
    """The words of a paragraph: formulas in letters and signs, or left out where these are not enough; no citations,
    whose brackets say nothing to who does not see the page."""
    from docutils import nodes

    copy = paragraph.deepcopy()
    for node in [*copy.findall(nodes.inline)]:
        if "bibtex-citation" in node["classes"]:
            node.parent.remove(node)
    for node in [*copy.findall(nodes.math)]:
        formula = node.astext()
        for tex, sign in SIGNS.items():
            formula = formula.replace(tex, sign)
        formula = re.sub(r"[{}]", "", formula)
        node.parent.replace(node, nodes.Text("" if re.search(r"[\\_^]", formula) else formula))
    return re.sub(r"\s+([.,;:])", r"\1", " ".join(copy.astext().split()))


def publish(app: Any, error: Exception | None) -> None:
    """Write what lies beside the pages: notebooks, the environment for Binder."""
    if error is not None or app.builder.name != "html":
        return
    root, site, repository = root_of(app), Path(app.outdir), app.resperturb_repository
    write_handouts(root, site.parent, site, sorted(app.env.found_docs), repository)
    (site / ".nojekyll").touch()  # GitHub Pages leaves out names with an underscore otherwise
    if repository and repository.github:
        target = site / BINDER
        target.parent.mkdir(exist_ok=True)
        target.write_text(binder_environment(repository), encoding="utf-8")


def binder_environment(repository: Repository) -> str:
    """For the branch of the built book, which has no package of its own."""
    package = f"resperturb[book] @ git+{repository.url}@{repository.branch}"
    return (
        "name: resperturb\nchannels: [conda-forge]\ndependencies:\n  - python=3.12\n  - git\n  - pip\n"
        f"  - pip:\n      - {json.dumps(package)}\n"
    )


def setup(app: Any) -> dict[str, bool]:
    """What Sphinx calls to load an extension."""
    app.resperturb_repository = find_repository(root_of(app))
    if app.resperturb_repository and app.resperturb_repository.site:
        app.setup_extension("sphinxext.opengraph")
    app.connect("config-inited", configure)
    app.connect("html-page-context", add_buttons, priority=502)  # the theme has made its own by then
    app.connect("html-page-context", page_description, priority=503)  # and the tags are there
    app.connect("build-finished", publish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
