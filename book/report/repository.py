"""The repository and site of this project, and links to its notebooks on Colab and Binder."""

from __future__ import annotations

import html
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from resperturb.records.provenance import ask_git

GITHUB = re.compile(r"^(?:https?://|ssh://git@|git@)github\.com[/:]([\w.-]+)/([\w.-]+?)(?:\.git)?/?$")
BRANCH = "main"  # branch of the sources
SITE_BRANCH = "gh-pages"  # branch of the built book
EXPERIMENTS = "_notebooks"  # folder of executed notebooks in the built book


@dataclass(frozen=True)
class Repository:
    """A repository that can be cloned.

    Attributes:
        url: address for git.
        name: owner/name on GitHub; "" elsewhere.
        site: address of the published book with a final slash; "" if unknown.
    """

    url: str
    name: str = ""
    site: str = ""

    def launch_links(self, file: str) -> dict[str, str]:
        """Return links that run a notebook of the built book, by name of the service."""
        if not self.name:
            return {}
        return {
            "Colab": f"https://colab.research.google.com/github/{self.name}/blob/{SITE_BRANCH}/{file}",
            "Binder": f"https://mybinder.org/v2/gh/{self.name}/{SITE_BRANCH}?urlpath=lab/tree/{file}",
        }


def find_repository(root: Path, environment: Mapping[str, str] | None = None) -> Repository | None:
    """Find the repository of a checkout, or None.

    It is RESPERTURB_REPOSITORY, else that of GitHub Actions, else the remote `origin` if that is on GitHub.
    RESPERTURB_SITE is the address of the published book, by default that of GitHub Pages.
    """
    given = os.environ if environment is None else environment
    url = given.get("RESPERTURB_REPOSITORY", "")
    if not url and (name := given.get("GITHUB_REPOSITORY")):
        url = f"{given.get('GITHUB_SERVER_URL', 'https://github.com')}/{name}"
    # Only at the top of a checkout: a copy inside another repository does not belong to that repository.
    if not url and (root / ".git").exists() and GITHUB.match(origin := ask_git(root, "remote", "get-url", "origin")):
        url = origin
    if not url:
        return None
    site = given.get("RESPERTURB_SITE", "").rstrip("/")
    if not (found := GITHUB.match(url)):
        return Repository(url, site=site and f"{site}/")
    owner, name = found.groups()
    host = f"{owner.lower()}.github.io"
    usual = f"https://{host}" if name.lower() == host else f"https://{host}/{name}"
    return Repository(f"https://github.com/{owner}/{name}", f"{owner}/{name}", f"{site or usual}/")


def experiments_table(root: Path, repository: Repository | None) -> str:
    """Format the notebooks of the experiments as an HTML table, with links to read and to run them."""
    rows = []
    for source in sorted((root / "notebooks").glob("*.ipynb")):
        text = "".join(json.loads(source.read_text(encoding="utf-8"))["cells"][0]["source"])
        heading, _, rest = text.removeprefix("# ").partition("\n")
        sentence = re.split(r"(?<=[.?!])\s", " ".join(rest.split()), maxsplit=1)[0]
        file = f"{EXPERIMENTS}/{source.name}"
        links = {source.name: file, **(repository.launch_links(file) if repository else {})}
        shown = " · ".join(f'<a href="{html.escape(url)}">{html.escape(name)}</a>' for name, url in links.items())
        cells = f"<td>{shown}</td><td>{html.escape(heading)}</td>"
        rows.append(f'<tr>{cells}<td class="words">{html.escape(sentence)}</td></tr>')
    heads = "".join(f'<th scope="col">{head}</th>' for head in ("notebook", "experiment", "what it does"))
    return f"<table class='dataframe'><tr>{heads}</tr>{''.join(rows)}</table>"
