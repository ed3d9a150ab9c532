"""Where the pages of runs are: `runs/<folder>/<name>.html`, and the index that lists them."""

from __future__ import annotations

from urllib.parse import quote

from resperturb.runs.facts import AnyRecord

INDEX = "runs.html"


def page_url(record: AnyRecord) -> str:
    """The address of a record's page, as seen from a chapter."""
    return f"runs/{quote(record.folder.parent.name)}/{quote(record.name)}.html"


def index_url(folder: str | None = None) -> str:
    """The address of the index of all runs, showing one folder of results/ alone where it is given."""
    return f"{INDEX}#folder={quote(folder)}" if folder else INDEX
