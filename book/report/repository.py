"""Where this project is kept and its book published, never guessed; links to its notebooks on Colab and Binder."""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

GITHUB = re.compile(r"^(?:https?://|ssh://git@|git@)github\.com[/:]([\w.-]+)/([\w.-]+?)(?:\.git)?/?$")


@dataclass(frozen=True)
class Repository:
    """A repository that can be cloned.

    Args:
        url: as git takes it.
        branch: of the sources.
        site_branch: of the built book.
        published: address of the built book, where it is not GitHub's usual one; "" for that.
    """

    url: str
    branch: str = "main"
    site_branch: str = "gh-pages"
    published: str = ""

    @property
    def github(self) -> tuple[str, str] | None:
        """Owner and name on GitHub; None elsewhere."""
        found = GITHUB.match(self.url)
        return (found[1], found[2]) if found else None

    @property
    def site(self) -> str:
        """Address of the published book, with a slash at its end; "" where it is not known."""
        if self.published:
            return self.published.rstrip("/") + "/"
        if not self.github:
            return ""
        owner, name = self.github
        host = f"{owner.lower()}.github.io"
        return f"https://{host}/" if name.lower() == host else f"https://{host}/{name}/"

    def colab(self, file: str) -> str | None:
        """Opens a notebook of the built book in Colab."""
        return self.github and f"https://colab.research.google.com/github/{self._path}/blob/{self.site_branch}/{file}"

    def binder(self, file: str) -> str | None:
        """Opens a notebook of the built book in Binder, in the environment that the built book describes."""
        return self.github and f"https://mybinder.org/v2/gh/{self._path}/{self.site_branch}?urlpath=lab/tree/{file}"

    @property
    def _path(self) -> str:
        return "/".join(self.github or ())


def git(root: Path, *words: str) -> str:
    """What git says of a checkout; "" where there is none, or no git."""
    try:
        done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def find_repository(root: Path, environment: Mapping[str, str] | None = None) -> Repository | None:
    """The repository of a checkout; None where it is not known.

    RESPERTURB_REPOSITORY names it; else GitHub Actions does; else the remote `origin`, where that is on GitHub.
    RESPERTURB_SITE is the address of the published book, where it is not the usual one.
    """
    given = os.environ if environment is None else environment
    site = given.get("RESPERTURB_SITE", "")
    if url := given.get("RESPERTURB_REPOSITORY"):
        return _named(url, site)
    if name := given.get("GITHUB_REPOSITORY"):
        return _named(f"{given.get('GITHUB_SERVER_URL', 'https://github.com')}/{name}", site)
    # Only of a checkout's own top: a copy inside another repository is not that repository.
    if (root / ".git").exists() and GITHUB.match(origin := git(root, "remote", "get-url", "origin")):
        return _named(origin, site)
    return None


def _named(url: str, site: str) -> Repository:
    found = GITHUB.match(url)
    return Repository(f"https://github.com/{found[1]}/{found[2]}" if found else url, published=site)


NOTEBOOK_FOLDER = "_notebooks"  # of the built site


def heading_of(notebook: Path) -> tuple[str, str]:
    """A notebook's heading, and the first sentence below it."""
    text = "".join(json.loads(notebook.read_text(encoding="utf-8"))["cells"][0]["source"])
    heading, _, rest = text.partition("\n")
    words = " ".join(rest.strip().split("\n\n")[0].split())
    return heading.removeprefix("# "), re.split(r"(?<=[.?!])\s", words, maxsplit=1)[0]


def experiments_table(root: Path, repository: Repository | None) -> str:
    """The experiments' notebooks as a table in HTML: what each does, where to get it and where to run it.

    Args:
        root: the checkout.
        repository: for links to Colab and Binder; without it there is only the download.
    """
    rows = []
    for source in sorted((root / "notebooks").glob("*.ipynb")):
        file = f"{NOTEBOOK_FOLDER}/experiments/{source.name}"
        heading, sentence = heading_of(source)
        links = [(source.name, file)]
        if repository:
            links += [("Colab", repository.colab(file) or ""), ("Binder", repository.binder(file) or "")]
        shown = " · ".join(f'<a href="{html.escape(url)}">{name}</a>' for name, url in links if url)
        cells = [f"<td>{shown}</td>", f"<td>{html.escape(heading)}</td>"]
        rows.append(f'<tr>{"".join(cells)}<td class="words">{html.escape(sentence)}</td></tr>')
    heads = "".join(f'<th scope="col">{head}</th>' for head in ("notebook", "experiment", "what it does"))
    return f"<table class='dataframe'><tr>{heads}</tr>{''.join(rows)}</table>"
