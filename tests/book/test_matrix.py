"""The matrix of the ledger: every row is in it once, under its networks and its theme, in words that a reader knows."""

from __future__ import annotations

import dataclasses
import re

from bs4 import BeautifulSoup
from conftest import ROOT

from report import matrix
from report.claims import CLAIMS, HAUSER, LedgerRow
from report.run_facts import load_folders
from resperturb.experiment import Experiment


def test_every_row_has_a_short_sentence_and_none_is_left_over(rows: dict[str, LedgerRow]) -> None:
    named = {f"{row.page}/{row.name}" for row in rows.values()}
    assert named <= set(matrix.SHORT)
    claims = {f"{claim.shown.split('#')[0]}/{claim.name}" for claim in CLAIMS}  # some wait for records
    assert set(matrix.SHORT) <= claims
    assert max(map(len, matrix.SHORT.values())) <= 60


def test_a_row_stands_in_the_column_of_its_data_set(rows: dict[str, LedgerRow]) -> None:
    kept = load_folders(ROOT / "results")
    for row in rows.values():
        column, records = matrix.column_of(row), kept[matrix.RUNS_IN_FOLDER.findall(row.records)[0][0]]
        assert column in matrix.COLUMNS
        if column == matrix.OTHERS or row.subject == "without-blocks":  # has all data sets, and names them in its rows
            continue
        dataset, _, block = column.partition("-")
        assert {record.parameters["dataset"] for record in records} == {dataset}, row.id
        if block:
            assert block in {record.parameters["block"] for record in records}, row.id  # full size has both kinds
    assert matrix.column_of(rows["without-blocks/mnist-used"]) == "mnist"


def test_every_row_is_in_the_matrix_once_and_the_paper_comes_first(rows: dict[str, LedgerRow]) -> None:
    found = BeautifulSoup(matrix.matrix(rows.values()), "html.parser")
    assert len(found.select("details tr:has(td)")) == len(rows)
    assert len(found.select("summary .found")) == len(rows)
    lines = matrix.themes(rows.values(), matrix.pages_in_order())
    assert next(iter(lines)) == matrix.THE_PAPER
    assert all(row.source == HAUSER for group in lines[matrix.THE_PAPER].values() for row in group)
    assert sum(len(group) for theme in lines.values() for group in theme.values()) == len(rows)


def test_no_field_and_no_programmers_value_reaches_a_reader(rows: dict[str, LedgerRow]) -> None:
    words = BeautifulSoup(matrix.matrix(rows.values()), "html.parser").get_text(" ")
    fields = {field.name for field in dataclasses.fields(Experiment) if "_" in field.name}
    assert re.findall(rf"\b(?:{'|'.join(fields)}|None|nan|preactivation|postactivation|cifar10|mnist)\b", words) == []


def test_links_lead_to_pages_and_anchors() -> None:
    assert matrix.link("per_block#the-direction").startswith('<a href="per_block.html#the-direction">')
    assert matrix.link("glossary") == '<a href="glossary.html">Glossary</a>'
    assert matrix.title_of_page("not_there") == "not there"
    assert matrix.links_to_records("results/mnist (7 runs), results/x") == (
        '<a href="runs.html#folder=mnist">7 runs</a>, <a href="runs.html#folder=x">compared with</a>'
    )
