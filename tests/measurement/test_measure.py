"""The measurement: exact answers, errors, and a model that is left as it was."""

import itertools
import random
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef

from resperturb.errors import MeasurementError
from resperturb.measurement import model_state, moments
from resperturb.measurement.measure import measure, measurement
from resperturb.measurement.reductions import other_squares, products, row_sums, squared_distances, squares
from resperturb.models.residual import ResidualNetwork

Step = Callable[[Tensor, Tensor], Tensor]  # of x and M x


def add_in_place(x: Tensor, f: Tensor) -> Tensor:
    f += x
    return f


class Turn(nn.Module):
    """x + M x for each given matrix: every number is known. `step` writes the sum, and what is done to it."""

    def __init__(self, matrices: list[Tensor], step: Step = add_in_place) -> None:
        super().__init__()
        self.maps = nn.ModuleList(nn.Linear(len(m), len(m), bias=False) for m in matrices)
        for layer, matrix in zip(self.maps, matrices, strict=True):
            layer.weight.data = matrix
        self.step = step

    def forward(self, x: Tensor) -> Tensor:
        x = x.clone()  # a step may write over it
        for layer in self.maps:
            x = self.step(x, layer(x))
        return x


ROTATION = torch.tensor([[0.0, -1.0], [1.0, 0.0]])
XY = torch.tensor([[3.0, 4.0], [0.0, 2.0], [-1.0, 0.0]])


def numbers(table: pd.DataFrame) -> pd.DataFrame:
    return table.select_dtypes("number")


def small(blocks: int = 6, **options) -> ResidualNetwork:
    return ResidualNetwork(blocks, width=4, **options)


def images(samples: int = 4) -> Tensor:
    return torch.randn(samples, 1, 8, 8, generator=torch.Generator().manual_seed(1))


# ------------------------------------------------------------------------------------------------- known answers


def test_a_network_whose_answer_is_known():
    """f is x turned by a right angle and halved, then x itself times -1/4."""
    result = measurement(Turn([0.5 * ROTATION, -0.25 * torch.eye(2)]), [XY])
    first, second = result.table.iloc[0], result.table.iloc[1]
    norms = np.array([5.0, 2.0, 1.0])
    assert result.table.columns[:5].tolist() == ["block", "name", "section", "kind", "samples"]
    assert result.table.block.tolist() == [1, 2]
    assert result.table.samples.tolist() == [3, 3]
    assert first.state_norm == pytest.approx(norms.mean())
    assert first.state_norm_std == pytest.approx(norms.std())
    for q in (5, 25, 50, 75, 95):
        assert first[f"state_norm_q{q:02d}"] == pytest.approx(np.quantile(norms, q / 100))
        assert first[f"perturbation_norm_q{q:02d}"] == pytest.approx(np.quantile(norms, q / 100) / 2)
    assert first.scaled == pytest.approx(0.5)
    assert first.scaled_std == pytest.approx(0, abs=1e-7)
    assert first.cosine == pytest.approx(0, abs=1e-7)
    assert first.step_scaled == pytest.approx(0.5)
    assert first.influence == pytest.approx(1 - 1 / np.sqrt(1.25))
    assert second.state_norm == pytest.approx(norms.mean() * np.sqrt(1.25))
    assert second.scaled == pytest.approx(0.25)
    assert second.cosine == pytest.approx(-1)
    assert second.influence == pytest.approx(0, abs=1e-7)
    assert result.scaled_per_sample == pytest.approx([0.375] * 3)
    assert result.scaled_per_sample.dtype == np.float64


@pytest.mark.parametrize(
    "step",
    [
        lambda x, f: torch.relu(f.add_(x)),
        lambda x, f: torch.relu_(f.add_(x)),
        lambda x, f: x.add_(f).relu_(),
    ],
    ids=["new tensor", "sum overwritten", "stream overwritten"],
)
def test_the_step_is_taken_after_the_activation(step):
    """(3, 4) + (-2, 1.5) = (1, 5.5) and (0, 2) + (-1, 0) = (-1, 2), cut to (0, 2)."""
    table = measure(Turn([0.5 * ROTATION, torch.eye(2)], step), [XY[:2]])
    moved = (np.hypot(2, 1.5) / 5 + 0) / 2
    assert table.step_scaled[0] == pytest.approx(moved)
    assert table.scaled[0] == pytest.approx(0.5)
    turned = (1 - (3 * 1 + 4 * 5.5) / (5 * np.hypot(1, 5.5)) + 0) / 2
    assert table.influence[0] == pytest.approx(turned)
    assert table.step_scaled[1] == pytest.approx(1)  # no next block: the sum after its activation
    matrices = [0.5 * ROTATION, 0.2 * ROTATION, torch.eye(2)]
    ways = (step, lambda x, f: torch.relu(x + f))
    ours, plain = (numbers(measure(Turn(matrices, way), [XY[:2]])) for way in ways)
    assert np.allclose(ours, plain, atol=1e-7)


def test_a_residual_inside_a_residual_in_a_module_used_twice():
    class Nested(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.outer, self.mix = Turn([0.1 * ROTATION]), Turn([ROTATION]), nn.Linear(2, 2)

        def forward(self, x: Tensor) -> Tensor:
            for _ in range(2):
                x = x + self.inner(self.mix(x))
            return x

    table = measure(Nested(), [XY])
    assert table.name.tolist() == ["inner", "Nested", "inner", "Nested"]
    assert table.scaled[[0, 2]].tolist() == pytest.approx([0.1, 0.1])
    outer = table[table.name == "Nested"]
    assert outer.step_scaled.tolist() == pytest.approx(outer.scaled.tolist())  # the outer stream, not the inner one


def test_sections_blocks_and_transitions():
    table = measure(small(5), [images()])
    assert table.kind.tolist() == ["identity"] * 2 + ["transition"] + ["identity"] * 2 + ["transition", "identity"]
    assert table.block.tolist() == [1, 2, 0, 3, 4, 0, 5]
    assert table.section.tolist() == [1, 1, 2, 2, 2, 3, 3]
    assert table.name[2] == "transitions.0"


def test_tokens_one_by_one():
    tokens = torch.tensor([[[3.0, 4.0], [0.0, 2.0]], [[-1.0, 0.0], [1.0, 1.0]]])
    scales = torch.tensor([[1.0], [3.0]])
    model = Turn([0.5 * ROTATION], lambda x, f: x + scales * f)
    token, sample = measure(model, [tokens], sequences="token"), measure(model, [tokens])
    assert token.scaled[0] == pytest.approx((0.5 + 1.5) / 2)
    assert token.state_norm[0] == pytest.approx(np.mean([5, 2, 1, np.sqrt(2)]))
    assert token.samples[0] == 2
    ratio = np.sqrt([(25 + 9 * 4) / 29, (1 + 9 * 2) / 3]) / 2
    assert sample.scaled[0] == pytest.approx(ratio.mean())


def test_alpha_belongs_to_the_perturbation():
    table = measure(Turn([0.25 * torch.eye(2)], lambda x, f: torch.add(x, f, alpha=-2)), [XY])
    assert table.scaled[0] == pytest.approx(0.5)
    assert table.cosine[0] == pytest.approx(-1)


# ------------------------------------------------------------------------------------------------- batches


def test_batches_of_any_kind_and_split_give_the_same_table():
    model, x = small().eval(), images(7)
    ways = [
        [x],
        [x[:3], x[3:]],
        ((x[i : i + 2], torch.zeros(2)) for i in range(0, 7, 2)),
        [[x[:6], None], [x[6:], None]],
        [{"images": x}],
        torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x), batch_size=4),
    ]
    whole, *others = [measurement(model, way, batch_statistics=False) for way in ways]
    for other in others:
        assert np.allclose(numbers(whole.table), numbers(other.table), rtol=1e-5, atol=1e-6)
        assert np.allclose(whole.scaled_per_sample, other.scaled_per_sample, rtol=1e-5)


def test_quantiles_of_more_samples_than_are_kept(monkeypatch):
    monkeypatch.setattr(moments, "QUANTILE_SAMPLES", 512)
    x = torch.linspace(1, 2, 2001)[torch.randperm(2001)][:, None] * torch.tensor([[1.0, 0.0]])
    table = measure(Turn([ROTATION]), x.split(100))
    assert table.samples[0] == 2001
    assert table.state_norm[0] == pytest.approx(1.5)
    assert table.state_norm_std[0] == pytest.approx(1 / np.sqrt(12), rel=1e-3)
    assert table.state_norm_q25[0] == pytest.approx(1.25, abs=0.05)
    assert table.state_norm_q95[0] == pytest.approx(1.95, abs=0.05)


def test_lower_precision_is_measured_in_float32():
    model = small(kind="postactivation").eval()
    full = measure(model, [images()], batch_statistics=False)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert measure(model, [images()], batch_statistics=False).equals(full)
    half = measure(model.bfloat16(), [images().bfloat16()], batch_statistics=False)
    assert np.allclose(half.scaled, full.scaled, rtol=0.05)
    assert 1e-5 < half.reconstruction_error.max() < 0.016
    assert measure(model.double(), [images().double()], batch_statistics=False).reconstruction_error.max() < 1e-12


def test_sums_of_long_rows_stay_exact():
    x, y = torch.rand(2, 802816) + 0.5, torch.rand(2, 802816)
    a, b = x.double(), y.double()
    sums = row_sums(x, y, squares, other_squares, products, squared_distances).view(4, 2)
    expected = a.square(), b.square(), a * b, (a - b).square()
    for found, exact in zip(sums, expected, strict=True):
        assert found.numpy() == pytest.approx(exact.sum(1).numpy(), rel=1e-6)


def test_a_row_has_the_same_sums_alone_and_among_others():
    """Bit for bit, so that numbers on file do not depend on how many rows are summed together."""
    for length in (7, 3136, 12544, 40000):
        x, y = torch.randn(100, length), torch.randn(100, length)
        sums = squares, other_squares, products, squared_distances
        alone = [row_sums(x[row : row + 1], y[row : row + 1], *sums) for row in range(100)]
        assert torch.equal(row_sums(x, y, *sums).view(4, 100), torch.stack(alone, 1))


# ------------------------------------------------------------------------------------------------- batch statistics


def test_batch_statistics_by_default_only_where_none_were_ever_learned():
    model = small()
    fresh = measurement(model, [images()])
    assert fresh.batch_statistics
    assert fresh.table.attrs["batch_statistics"] is True
    assert measure(model, [images()], batch_statistics=False).scaled[0] != fresh.table.scaled[0]
    with torch.no_grad():
        model.train()(images())
    trained = measurement(model, [images()])
    assert not trained.batch_statistics
    assert measurement(model, [images()], batch_statistics=True).table.scaled[0] == pytest.approx(fresh.table.scaled[0])
    old = small()  # statistics from a checkpoint without counts
    for module in old.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.fill_(0.1)
    assert not measurement(old, [images()]).batch_statistics


# ------------------------------------------------------------------------------------------------- row_errors


TURN = Turn([ROTATION])


@pytest.mark.parametrize(
    ("model", "batches", "options", "message"),
    [
        (TURN, [], {}, "batches is empty"),
        (TURN, [torch.zeros(0, 2)], {}, "has 0 samples"),
        (TURN, ["text"], {}, "A batch must be .* but got a str"),
        (TURN, [{"x": 3}], {}, "has no tensor"),
        (TURN, [XY * float("nan")], {}, r"state of addition 1 \(identity, Turn\) is not finite"),
        (Turn([ROTATION, ROTATION * float("inf"), ROTATION]), [XY], {}, r"perturbation of addition 2 .* not finite"),
        (TURN, [torch.zeros(2, 2)], {}, "is zero in a sample"),
        (TURN, None, {}, "got one NoneType; pass"),
        (TURN, (torch.ones(2, 2), torch.zeros(2, dtype=torch.long)), {}, r"pass \[\(images, labels\)\]"),
        (TURN, [XY.to("meta")], {}, r"model is on cpu, but a batch is on meta; pass device='cpu'"),
        (TURN, [XY], {"sequences": "word"}, "sequences must be 'sample' or 'token', but got 'word'"),
        (TURN, [XY], {"channels": "both"}, "channels must be 'together' or 'apart', but got 'both'"),
        (Turn([ROTATION]).to("meta"), [XY], {}, "weights of Turn are on the meta device"),
    ],
)
def test_refuses_in_one_sentence(model, batches, options, message):
    with pytest.raises(MeasurementError, match=message):
        measurement(model, batches, **options)


def test_refuses_one_value_per_channel_where_statistics_come_from_the_batch():
    class Normalised(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.layer = nn.BatchNorm1d(2), nn.Linear(2, 2)

        def forward(self, x: Tensor) -> Tensor:
            return x + self.layer(self.norm(x))

    with pytest.raises(MeasurementError, match=r"more than one value per channel .* but got 1 samples; give more"):
        measure(Normalised(), [torch.randn(1, 2)])
    assert len(measure(Normalised(), [torch.randn(1, 2)], batch_statistics=False)) == 1


def test_tokens_with_a_zero_state_are_left_out_of_the_mean():
    class Embedded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.layer = nn.Embedding(5, 8, padding_idx=0), nn.Linear(8, 8)

        def forward(self, tokens: Tensor) -> Tensor:
            x = self.words(tokens)
            return x + self.layer(x)

    network = Embedded()
    (padded,) = measure(network, [torch.tensor([[1, 2, 0]])], sequences="token")["scaled"]
    assert padded == pytest.approx(measure(network, [torch.tensor([[1, 2]])], sequences="token")["scaled"].item())
    with pytest.raises(MeasurementError, match="is zero in a sample"):
        measure(network, [torch.tensor([[0, 0, 0], [1, 2, 3]])], sequences="token")


def test_a_buffer_that_grows_is_put_back():
    class Growing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 2)
            self.register_buffer("seen", torch.zeros(1))

        def forward(self, x: Tensor) -> Tensor:
            self.seen.resize_(5).fill_(1.0)
            return x + self.layer(x)

    network = Growing()
    measure(network, [torch.randn(3, 2)])
    assert torch.equal(network.seen, torch.zeros(1))


def test_refuses_what_hides_its_additions():
    exported = torch.export.export(TURN, (XY,))
    hidden = [
        (torch.jit.trace(TURN, XY), "TorchScript"),
        (torch.fx.symbolic_trace(TURN), "FX"),
        (exported.module(), "FX or exported"),
        (exported, "must be an eager"),
        (nn.Sequential(nn.DataParallel(TURN)), "Module 0 .* threads"),
        (lambda x: x, "must be an eager"),
    ]
    for hider, message in hidden:
        with pytest.raises(MeasurementError, match=message):
            measure(hider, [XY])


def test_refuses_paths_that_depend_on_the_data():
    class Fickle(Turn):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(super().forward(x) if x.sum() > 0 else x)

    with pytest.raises(MeasurementError, match="Batch 2 ran 1 residual additions and batch 1 ran 2"):
        measure(Fickle([ROTATION]), [XY, -XY])


def test_a_sum_that_is_not_x_plus_f_is_an_error(monkeypatch):
    """Were the wrong memory read, the numbers would not add up."""
    before = model_state.Recorder.before_addition

    def stale(self, addition):
        before(self, addition)
        addition.perturbation.mul_(1.001)

    monkeypatch.setattr(model_state.Recorder, "before_addition", stale)
    with pytest.raises(MeasurementError, match=r"addition 1 \(identity, Turn\), x \+ f differs"):
        measure(TURN, [XY])


# ------------------------------------------------------------------------------------------------- nothing changes


class Careless(nn.Module):
    """Draws random numbers, counts its calls in a buffer, replaces another one, and may raise."""

    def __init__(self, fails: bool) -> None:
        super().__init__()
        self.net, self.fails = small(), fails
        self.register_buffer("calls", torch.zeros(1))
        self.register_buffer("cache", torch.arange(3.0))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.cache = torch.rand(4)
        random.random(), np.random.rand()  # noqa: NPY002
        y = self.net(x + 0 * nn.functional.dropout(x, training=True))
        if self.fails:
            raise ZeroDivisionError
        return y


def state_of(model: nn.Module) -> list:
    hooks = torch.nn.modules.module
    return [
        *(p.detach().clone() for p in model.parameters()),
        *(b.clone() for b in model.buffers()),
        [(id(p), p.requires_grad, p.grad) for p in model.parameters()],
        [id(b) for b in model.buffers()],
        [(m.training, getattr(m, "track_running_stats", None)) for m in model.modules()],
        [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()],
        (len(hooks._global_forward_hooks), len(hooks._global_forward_pre_hooks)),
        torch.get_rng_state(),
        random.getstate(),
        np.random.get_state()[1].tolist(),  # noqa: NPY002
        (torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.is_autocast_enabled("cpu")),
        torch.backends.mha.get_fastpath_enabled(),
        len(torch.utils._python_dispatch._get_current_dispatch_mode_stack()),
    ]


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("statistics", [None, False])
def test_measuring_changes_nothing(fails, statistics):
    model = Careless(fails).train()
    model.net.sections[1].eval()
    model.net.head.weight.requires_grad_(False)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(images(8)), batch_size=4, shuffle=True)
    before = state_of(model)
    if fails:
        with pytest.raises(ZeroDivisionError):
            measure(model, loader, batch_statistics=statistics)
    else:
        assert len(measure(model, loader, batch_statistics=statistics)) == 8
    for was, now in zip(before, state_of(model), strict=True):
        assert torch.equal(was, now) if isinstance(was, Tensor) else was == now


def test_it_works_inside_inference_mode_and_leaves_usable_tensors():
    with torch.inference_mode():
        table = measure(Turn([0.5 * ROTATION]), [XY.clone()])
        assert torch.is_inference_mode_enabled()
    assert table.scaled[0] == pytest.approx(0.5)


def test_states_are_not_kept(monkeypatch):
    """At most a few states live at once, however many blocks there are."""
    states, alive = [], []

    def step(x: Tensor, f: Tensor) -> Tensor:
        x = torch.relu(x + f)
        states.append(StorageWeakRef(x.untyped_storage()))
        return x

    class Counting(model_state.Recorder):
        def after_addition(self, addition, result, value):
            super().after_addition(addition, result, value)
            alive.append(sum(not state.expired() for state in states))

    monkeypatch.setattr(model_state, "Recorder", Counting)
    measure(Turn([0.1 * torch.eye(2)] * 40, step), [XY[:2]])
    assert len(alive) == 40
    assert max(alive) <= 3


def test_channels_apart():
    """Norms per channel, averaged over a sample's channels; a channel of zeros has no ratio and does not count."""

    branch = nn.Conv2d(3, 3, 1, groups=3, bias=False)
    branch.weight.data = torch.tensor([0.1, 0.2, 0.3]).reshape(3, 1, 1, 1)
    model = Turn([torch.eye(3)], torch.add)
    model.maps[0] = branch
    images = torch.randn(4, 3, 5, 5)
    for pictures in (images, images.contiguous(memory_format=torch.channels_last)):
        together, apart = (measurement(model, [pictures], channels=c).table for c in ("together", "apart"))
        np.testing.assert_allclose(apart["scaled"], [0.2], rtol=1e-5)
        assert together["scaled"].item() != pytest.approx(0.2, rel=1e-3)
    images[:, 2] = 0
    np.testing.assert_allclose(measurement(model, [images], channels="apart").table["scaled"], [0.15], rtol=1e-5)


@pytest.mark.parametrize("in_place", [False, True])
def test_successive_cosine(in_place):
    """Against the cosine of the perturbations themselves, also where the sum overwrites them."""
    kept: list[Tensor] = []

    def step(x: Tensor, f: Tensor) -> Tensor:
        kept.append(f.clone())
        return f.add_(x) if in_place else x + f

    model = Turn([torch.randn(2, 2) for _ in range(4)], step)
    table = measurement(model, [XY], successive=True).table
    expected = [torch.cosine_similarity(a, b, dim=1).mean().item() for a, b in itertools.pairwise(kept)]
    np.testing.assert_allclose(table["successive_cosine"], [np.nan, *expected], rtol=1e-5)
    assert "successive_cosine" not in measure(model, [XY])


def test_a_released_state_is_measured_by_a_second_pass():
    """The first blocks hand on the sum itself, the last its normalised self: its step is measured all the same."""

    class Mixed(Turn):
        def forward(self, x: Tensor) -> Tensor:
            for layer in self.maps[:3]:
                x = x + layer(x)
            x = nn.functional.layer_norm(x + self.maps[3](x), (2,))
            return x + self.maps[4](x)

    model = Mixed([torch.randn(2, 2) for _ in range(5)])
    table = measure(model, [XY])
    x = XY
    for layer in model.maps[:3]:
        x = x + layer(x)
    after = nn.functional.layer_norm(x + model.maps[3](x), (2,))
    expected = ((after - x).norm(dim=1) / x.norm(dim=1)).mean().item()
    assert table["step_scaled"][3] == pytest.approx(expected, rel=1e-5)
