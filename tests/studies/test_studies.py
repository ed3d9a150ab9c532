"""Studies: what they compute, against computations of another kind; their records; and their presets."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import silent, with_statistics
from conftest import ROOT
from torch import nn

from resperturb.analysis.theory import VARIANTS
from resperturb.errors import ExperimentError, RecordError
from resperturb.experiment import Experiment
from resperturb.experiment.parameters import read_parameters
from resperturb.models.residual import ResidualNetwork
from resperturb.models.transformer import Transformer
from resperturb.records.record import CHECKSUMS, concat_tables, load_records, read_record
from resperturb.studies import lesion
from resperturb.studies.base import train_network
from resperturb.studies.conduct import conduct
from resperturb.studies.initialization import Initialization, theory_ratios
from resperturb.studies.lesion import Lesion, lesion_each_block, prune_blocks, scores_from
from resperturb.studies.plan import STUDIES, load_plan, study_class, study_names
from resperturb.studies.text import TextStudy, corpus, encode_text, windows

TINY = {"epochs": 1, "train_size": 64, "test_size": 32, "measured_images": 16}


def network_with_statistics(blocks: int = 7, **settings: object) -> ResidualNetwork:
    torch.manual_seed(0)
    return with_statistics(ResidualNetwork(blocks, width=4, **settings), torch.randn(32, 1, 8, 8))


class TestInitialization:
    def test_a_single_section_at_initialisation_follows_theory(self) -> None:
        for name, power in (("inverse", -1.0), ("root", -0.5), ("batch-norm", -0.5)):
            table = Initialization(variant=name, depths=(4, 16, 64), measured_images=16).conduct(silent)["averages"]
            slope = np.polyfit(np.log(table["blocks"]), np.log(table["scaled"]), 1)[0]
            assert slope == pytest.approx(power, abs=0.15), name

    def test_branches_that_start_at_zero_perturb_nothing_and_numbers_that_overflow_are_left_out(self) -> None:
        zero = Initialization(variant="zero", depths=(3,), measured_images=4).conduct(silent)["averages"]
        assert zero["scaled"].tolist() == [0.0]
        plain = Initialization(variant="plain", depths=(4, 400), measured_images=4).conduct(silent)["averages"]
        assert plain["finite"].tolist() == [True, False]
        assert np.isnan(plain["scaled"].iloc[1])

    def test_theory_gives_the_first_block_what_it_has(self) -> None:
        for variant in VARIANTS.values():
            first = 0.0 if variant.start == "zero" else 1.5
            assert theory_ratios(variant, 5, 1.5)[0] == first
        root = theory_ratios(VARIANTS["batch-norm"], 4, 1.0)
        assert root == pytest.approx([1, 1 / math.sqrt(2), 1 / math.sqrt(3), 0.5])

    @pytest.mark.parametrize(("depths", "words"), [([], "a list"), ([0], "at least 1"), (6, "a list")])
    def test_depths_that_are_none_are_refused(self, depths: object, words: str) -> None:
        with pytest.raises(ExperimentError, match=words):
            Initialization(depths=depths)  # type: ignore[arg-type]


class TestLesion:
    @pytest.mark.parametrize("kind", ["preactivation", "postactivation"])
    def test_a_network_without_a_block_is_one_with_an_identity_there(self, kind: str) -> None:
        network = network_with_statistics(kind=kind)
        x, labels = torch.randn(20, 1, 8, 8), torch.randint(0, 10, (20,))
        table = lesion_each_block(network, x, labels)
        assert len(table) == 7
        for place, (section, number) in enumerate([(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (2, 0), (2, 1)]):
            twin = without(network, (section, number))
            with torch.no_grad():
                loss, whole = (nn.functional.cross_entropy(each(x), labels).item() for each in (twin, network))
            assert table["added_loss"].iloc[place] == pytest.approx(loss - whole, abs=1e-5)

    def test_nothing_removed_is_the_network(self) -> None:
        network, x = network_with_statistics(blocks=3), torch.randn(8, 1, 8, 8)
        with torch.no_grad():
            torch.testing.assert_close(scores_from(network, network.stem(x), 0), network(x))

    def test_what_is_removed_first_scores_lowest_and_dead_blocks_are_apart(self) -> None:
        network = network_with_statistics(blocks=6)
        x, labels = torch.randn(16, 1, 8, 8), torch.randint(0, 10, (16,))
        blocks = lesion_each_block(network, x, labels).assign(
            scaled=[6.0, 5, 4, 3, 2, 1], alive=[True, True, True, True, False, False]
        )
        table = prune_blocks(network, x, labels, blocks, draws=2, seed=0)
        one = table[(table["way"] == "scaled") & (table["removed"] == 1)]
        assert one["accuracy"].item() == pytest.approx(blocks["accuracy"].iloc[3])  # the live one that scores lowest
        assert table.loc[table["way"] == "whole", "agreement"].item() == 1
        assert set(table.loc[table["way"] == "random", "draw"]) == {0, 1}
        assert table.loc[table["way"] != "dead", "removed"].max() == 4
        with torch.no_grad():
            right = (without(network, (2, 0), (2, 1))(x).argmax(1) == labels).float().mean().item()
        assert table.loc[table["way"] == "dead", "accuracy"].item() == pytest.approx(right)

    def test_a_block_that_adds_the_same_to_every_image_is_dead(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def train_and_kill(experiment: Experiment, report: object) -> tuple[ResidualNetwork, object, object]:
            network, images, training = train_network(experiment, silent)
            nn.init.zeros_(network.sections[1][0].branch[-1].weight)
            return network, images, training

        monkeypatch.setattr(lesion, "train_network", train_and_kill)
        tables = Lesion(blocks=3, weight_decay=0.0, **TINY).conduct(silent)
        assert tables["blocks"]["alive"].tolist() == [True, False, True]
        dead = tables["pruning"].query("way == 'dead'")
        assert (dead["removed"].item(), dead["agreement"].item()) == (1, 1.0)


def without(network: ResidualNetwork, *places: tuple[int, int]) -> ResidualNetwork:
    """A copy with identities in these places: section, and block in it, from 0."""
    twin = copy.deepcopy(network)
    for section, number in places:
        twin.sections[section][number] = nn.Identity()
    return twin


class TestText:
    def test_no_token_sees_what_follows_it(self) -> None:
        network = Transformer(2, characters=11, width=8, heads=2, context=6).eval()
        a = torch.randint(0, 11, (1, 6))
        b = a.clone()
        b[0, 4:] = (b[0, 4:] + 1) % 11
        with torch.no_grad():
            torch.testing.assert_close(network(a)[0, :4], network(b)[0, :4])
            assert not torch.allclose(network(a)[0, 4], network(b)[0, 4])

    def test_scaled_branches_end_with_smaller_weights(self) -> None:
        parts = {}
        for way in ("plain", "scaled"):
            torch.manual_seed(0)
            network = Transformer(8, characters=5, width=8, heads=2, context=4, initialization=way)
            parts[way] = network.layers[3].mlp.branch[-1].weight
        torch.testing.assert_close(parts["plain"] / 4, parts["scaled"])  # of 16 blocks

    def test_windows_are_followed_by_what_follows(self) -> None:
        text, alphabet = encode_text("abcabcabd")
        assert alphabet == "abcd"
        x, y = windows(text, torch.tensor([0, 5]), 3)
        assert x.tolist() == [[0, 1, 2], [2, 0, 1]]
        assert y.tolist() == [[1, 2, 0], [0, 1, 3]]
        assert len(corpus()) > 100_000

    def test_training_learns_with_two_blocks_a_layer(self) -> None:
        study = TextStudy(layers=2, width=16, heads=2, context=16, steps=40, learning_rate=0.01, measured_sequences=8)
        tables = study.conduct(silent)
        row = tables["network"].iloc[0]
        assert row["loss"] < row["loss_initialization"] - 0.5
        additions = [[1, "attention"], [1, "mlp"], [2, "attention"], [2, "mlp"]]
        assert tables["blocks"]["moment"].unique().tolist() == ["initialization", "end"]
        assert tables["blocks"][["layer", "part"]].to_numpy().tolist() == 2 * additions
        with pytest.raises(ExperimentError, match="heads must divide width"):
            TextStudy(width=10, heads=4)


class TestRecords:
    study = Initialization(depths=(2, 3), measured_images=4)

    def test_a_study_is_conducted_once_and_anew_when_its_sources_are_others(self, tmp_path: Path) -> None:
        first = conduct(self.study, tmp_path, report=silent)
        assert conduct(self.study, tmp_path, report=silent).run == first.run
        anew = conduct(self.study, tmp_path, again=True, report=silent)
        assert anew.run["wall_seconds"] != first.run["wall_seconds"]
        anew.run["provenance"]["source_hash"] = "0" * 16
        (anew.folder / "run.json").write_text(json.dumps(anew.run))
        (anew.folder / CHECKSUMS).unlink()  # records without one are older, and not checked
        assert not read_record(anew.folder).fresh
        assert conduct(self.study, tmp_path, report=silent).fresh

    def test_threads_decide_nothing_and_seeds_do(self) -> None:
        assert dataclasses.replace(self.study, threads=2).name == self.study.name
        assert dataclasses.replace(self.study, seed=1).name != self.study.name
        assert self.study.name.startswith("digits-batch-norm-seed-0-")

    def test_tables_of_several_records_are_told_apart(self, tmp_path: Path) -> None:
        for seed in (0, 1):
            conduct(dataclasses.replace(self.study, seed=seed), tmp_path, report=silent)
        table = concat_tables(load_records(tmp_path, kind=None), "averages", "variant")
        assert table[["seed", "blocks"]].to_numpy().tolist() == [[0, 2], [0, 3], [1, 2], [1, 3]]
        with pytest.raises(RecordError, match="has no table nothing; it has averages, blocks"):
            concat_tables(load_records(tmp_path, kind=None), "nothing")

    @pytest.mark.parametrize("name", STUDIES)
    def test_unknown_and_bad_parameters_are_quoted(self, name: str) -> None:
        with pytest.raises(ExperimentError, match=r"unknown parameter sead; did you mean seed\?"):
            read_parameters(study_class(name), {"sead": 1})
        with pytest.raises(ExperimentError, match="seed must be a whole number"):
            read_parameters(study_class(name), {"seed": -1, "results": "r"})

    def test_a_study_of_a_network_takes_what_the_run_takes(self) -> None:
        study = Lesion(blocks=9, dataset="mnist")
        assert study.experiment == Experiment(blocks=9, dataset="mnist", weight_decay=None, snapshots=0, threads=1)
        assert study.epochs == study.experiment.epochs
        assert Lesion(blocks=9, weight_decay=5e-4).experiment.weight_decay == 5e-4
        with pytest.raises(ExperimentError, match="dataset must be one of"):
            Lesion(dataset="mnits")


class TestPlans:
    @pytest.mark.parametrize("name", study_names())
    def test_every_preset_can_be_planned(self, name: str) -> None:
        plan = load_plan(name)
        assert len({run.name for run in plan.runs}) == len(plan.runs) > 0
        assert [run.blocks for run in plan.runs] == sorted((run.blocks for run in plan.runs), reverse=True)
        assert (ROOT / "notebooks" / f"{plan.notebook}.ipynb").is_file()
        assert all(source.is_file() for source in plan.sources)
