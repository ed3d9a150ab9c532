"""Where this project is kept and its book published, never guessed; links to its notebooks on Colab and Binder."""

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
BRANCH = "main"  # of the sources
SITE_BRANCH = "gh-pages"  # of the built book, which has the executed notebooks
EXPERIMENTS = "_notebooks"  # folder of the built book with the notebooks of the experiments


@dataclass(frozen=True)
class Repository:
    """A repository that can be cloned.

    Args:
        url: as git takes it.
        name: owner/name on GitHub; "" elsewhere.
        site: address of the published book, with a slash at its end; "" where it is not known.
    """

    url: str
    name: str = ""
    site: str = ""

    def launch_links(self, file: str) -> dict[str, str]:
        """Where a notebook of the built book can be run, by the service's name."""
        if not self.name:
            return {}
        return {
            "Colab": f"https://colab.research.google.com/github/{self.name}/blob/{SITE_BRANCH}/{file}",
            "Binder": f"https://mybinder.org/v2/gh/{self.name}/{SITE_BRANCH}?urlpath=lab/tree/{file}",
        }


def find_repository(root: Path, environment: Mapping[str, str] | None = None) -> Repository | None:
    """Find the repository of a checkout; None where it is not known.

    RESPERTURB_REPOSITORY names it; else GitHub Actions does; else the remote `origin`, where that is on GitHub.
    RESPERTURB_SITE is the address of the published book, where it is not GitHub's usual one.
    """
    given = os.environ if environment is None else environment
    url = given.get("RESPERTURB_REPOSITORY", "")
    if not url and (name := given.get("GITHUB_REPOSITORY")):
        url = f"{given.get('GITHUB_SERVER_URL', 'https://github.com')}/{name}"
    # Only of a checkout's own top: a copy inside another repository is not that repository.
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
    """Format the experiments' notebooks as a table in HTML: what each does, where to get it and where to run it."""
    rows = []
    for source in sorted((root / "notebooks").glob("*.ipynb")):
        text = "".join(json.loads(source.read_text(encoding="utf-8"))["cells"][0]["source"])
        heading, _, rest = text.removeprefix("# ").partition("\n")
        sentence = re.split(r"(?<=[.?!])\s", " ".join(rest.split()), maxsplit=1)[0]
        file = f"{EXPERIMENTS}/{source.name}"
        links = {source.name: file, **(repository.launch_links(file) if repository else {})}
        shown = " · ".join(f'<a href="{html.escape(url)}">{name}</a>' for name, url in links.items())
        cells = f"<td>{shown}</td><td>{html.escape(heading)}</td>"
        rows.append(f'<tr>{cells}<td class="words">{html.escape(sentence)}</td></tr>')
    heads = "".join(f'<th scope="col">{head}</th>' for head in ("notebook", "experiment", "what it does"))
    return f"<table class='dataframe'><tr>{heads}</tr>{''.join(rows)}</table>"
