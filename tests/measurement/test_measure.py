"""The measurement: exact answers, row_errors, and a model that is left as it was."""

import itertools
import random
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from resperturb.errors import MeasurementError
from resperturb.measurement import model_state, moments
from resperturb.measurement.measure import measure, measurement
from resperturb.measurement.reductions import other_squares, products, row_sums, squared_distances, squares
from resperturb.models.residual import ResidualNetwork


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


class Turn(nn.Module):
    """x + M x for a given matrix: every number is known. `after` is applied to the sum."""

    def __init__(self, matrices: list[Tensor], after: str = "none") -> None:
        super().__init__()
        self.maps = nn.ModuleList(nn.Linear(len(m), len(m), bias=False) for m in matrices)
        for layer, matrix in zip(self.maps, matrices, strict=True):
            layer.weight.data = matrix
        self.after = after

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.maps:
            out = layer(x)
            out += x
            x = torch.relu_(out) if self.after == "relu_" else torch.relu(out) if self.after == "relu" else out
        return x


ROTATION = torch.tensor([[0.0, -1.0], [1.0, 0.0]])
XY = torch.tensor([[3.0, 4.0], [0.0, 2.0], [-1.0, 0.0]])


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


@pytest.mark.parametrize("after", ["relu", "relu_"])
def test_the_step_is_taken_after_the_activation(after):
    """relu(x + f), also where it overwrites the sum: (3, 4) + (-2, 1.5) = (1, 5.5) and
    (0, 2) + (-1, 0) = (-1, 2), cut to (0, 2).
    """
    x = XY[:2]
    table = measure(Turn([0.5 * ROTATION, torch.eye(2)], after), [x])
    moved = (np.hypot(2, 1.5) / 5 + 0) / 2
    assert table.step_scaled[0] == pytest.approx(moved)
    assert table.scaled[0] == pytest.approx(0.5)
    turned = (1 - (3 * 1 + 4 * 5.5) / (5 * np.hypot(1, 5.5)) + 0) / 2
    assert table.influence[0] == pytest.approx(turned)
    assert table.step_scaled[1] == pytest.approx(1)  # no next block: the sum after its activation


def test_a_stream_written_in_place_keeps_its_steps():
    class InPlace(Turn):
        def forward(self, x: Tensor) -> Tensor:
            x = x.clone()
            for layer in self.maps:
                x += layer(x)
                x.relu_()
            return x

    matrices = [0.5 * ROTATION, 0.2 * ROTATION, torch.eye(2)]
    ours, plain = measure(InPlace(matrices), [XY[:2]]), measure(Turn(matrices, "relu"), [XY[:2]])
    assert np.allclose(ours.select_dtypes("number"), plain.select_dtypes("number"), atol=1e-7)


def test_a_module_used_twice_is_two_blocks():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block = Turn([0.5 * ROTATION])

        def forward(self, x: Tensor) -> Tensor:
            return self.block(self.block(x))

    table = measure(Twice(), [XY])
    assert table.name.tolist() == ["block", "block"]
    assert table.state_norm[1] == pytest.approx(table.state_norm[0] * np.sqrt(1.25))


def test_a_residual_inside_a_residual():
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

    class PerToken(Turn):
        def forward(self, x: Tensor) -> Tensor:
            return x + scales * self.maps[0](x)

    model = PerToken([0.5 * ROTATION])
    token, sample = measure(model, [tokens], sequences="token"), measure(model, [tokens])
    assert token.scaled[0] == pytest.approx((0.5 + 1.5) / 2)
    assert token.state_norm[0] == pytest.approx(np.mean([5, 2, 1, np.sqrt(2)]))
    assert token.samples[0] == 2
    ratio = np.sqrt([(25 + 9 * 4) / 29, (1 + 9 * 2) / 3]) / 2
    assert sample.scaled[0] == pytest.approx(ratio.mean())


def test_a_branch_that_starts_at_zero():
    table = measure(small(initialization="zero"), [images()])
    identity = table[table.kind == "identity"]
    assert (identity.scaled == 0).all()
    assert (identity.influence == 0).all()
    assert identity.cosine.isna().all()


def test_alpha_belongs_to_the_perturbation():
    class Alpha(Turn):
        def forward(self, x: Tensor) -> Tensor:
            return torch.add(x, self.maps[0](x), alpha=-2)

    table = measure(Alpha([0.25 * torch.eye(2)]), [XY])
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
        assert np.allclose(
            whole.table.select_dtypes("number"), other.table.select_dtypes("number"), rtol=1e-5, atol=1e-6
        )
        assert np.allclose(whole.scaled_per_sample, other.scaled_per_sample, rtol=1e-5)


def test_quantiles_of_more_samples_than_are_kept(monkeypatch):
    monkeypatch.setattr(moments, "QUANTILE_SAMPLES", 512)
    x = torch.linspace(1, 2, 5001)[torch.randperm(5001)][:, None] * torch.tensor([[1.0, 0.0]])
    table = measure(Turn([ROTATION]), x.split(100))
    assert table.samples[0] == 5001
    assert table.state_norm[0] == pytest.approx(1.5)
    assert table.state_norm_std[0] == pytest.approx(1 / np.sqrt(12), rel=1e-3)
    assert table.state_norm_q25[0] == pytest.approx(1.25, abs=0.05)
    assert table.state_norm_q95[0] == pytest.approx(1.95, abs=0.05)


def test_some_blocks_only():
    model = small(6)
    whole = measure(model, [images()])
    some = measure(model, [images()], blocks=[2, 3])
    expected = whole[whole.block.isin([2, 3])].reset_index(drop=True)
    assert some.block.tolist() == [2, 3]
    assert np.allclose(some.select_dtypes("number"), expected.select_dtypes("number"), rtol=1e-6)
    assert measure(model, [images()], blocks="transitions.*").kind.tolist() == ["transition"] * 2


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
    sums = row_sums(x, y, squares, other_squares, products, squared_distances)
    expected = a.square(), b.square(), a * b, (a - b).square()
    for found, exact in zip(sums, expected, strict=True):
        assert found.numpy() == pytest.approx(exact.sum(1).numpy(), rel=1e-6)


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


def test_statistics_from_an_old_checkpoint_without_counts_are_used():
    model = small()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.fill_(0.1)
    assert not measurement(model, [images()]).batch_statistics


# ------------------------------------------------------------------------------------------------- row_errors


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([], "batches is empty"),
        ([torch.zeros(0, 2)], "holds 0 samples"),
        (["text"], "A batch is a str"),
        ([{"x": 3}], "holds no tensor"),
        ([XY * float("nan")], r"state of addition 1 \(identity, Turn\) is not finite"),
        ([torch.zeros(2, 2)], "is zero in a sample"),
        ([XY.to("meta")], r"model is on cpu, but a batch on meta; pass device='cpu'"),
    ],
)
def test_refuses_batches(batches, message):
    with pytest.raises(MeasurementError, match=message):
        measure(Turn([ROTATION]), batches)


def test_names_the_first_block_that_is_not_finite():
    model = Turn([ROTATION, ROTATION * float("inf"), ROTATION])
    with pytest.raises(MeasurementError, match=r"perturbation of addition 2 .* not finite"):
        measure(model, [XY])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sequences": "word"}, "sequences is 'word'; choose 'sample' or 'token'"),
        ({"blocks": [0]}, r"blocks is \[0\]"),
        ({"blocks": [9]}, r"asks for \[9\], but Turn has the blocks 1 to 1"),
        ({"blocks": "layer*"}, "asks for layer"),
    ],
)
def test_refuses_options(options, message):
    with pytest.raises(MeasurementError, match=message):
        measure(Turn([ROTATION]), [XY], **options)


def test_refuses_what_hides_its_additions():
    model = Turn([ROTATION])
    compiled = Turn([ROTATION])
    compiled.compile()
    hidden = [
        (torch.jit.trace(model, XY), "TorchScript"),
        (torch.fx.symbolic_trace(model), "FX"),
        (torch.export.export(model, (XY,)).module(), "FX or exported"),
        (torch.export.export(model, (XY,)), "must be an eager"),
        (torch.compile(model), "torch.compile"),
        (nn.Sequential(compiled), "Module 0 .* torch.compile"),
        (nn.DataParallel(model), "threads"),
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
        measure(Turn([ROTATION]), [XY])


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


def test_states_are_not_kept():
    """At most a few states live at once, however many blocks there are."""
    live = []

    class Deep(Turn):
        def forward(self, x: Tensor) -> Tensor:
            for layer in self.maps:
                x = torch.relu(x + layer(x))
                live.append(x.untyped_storage()._weak_ref())
            return x

    alive: list[int] = []
    after = model_state.Recorder.after_addition

    class Counting(model_state.Recorder):
        def after_addition(self, addition, result, value):
            after(self, addition, result, value)
            alive.append(sum(not torch.UntypedStorage._expired(weak) for weak in live))

    original, model_state.Recorder = model_state.Recorder, Counting
    try:
        measure(Deep([0.1 * torch.eye(2)] * 40), [XY[:2]])
    finally:
        model_state.Recorder = original
        for weak in live:
            torch.UntypedStorage._free_weak_ref(weak)
    assert len(alive) == 40
    assert max(alive) <= 3


def test_channels_apart():
    """Norms per channel, averaged over a sample's channels; a channel of zeros has no ratio and does not count."""

    class Images(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.map = nn.Conv2d(3, 3, 1, groups=3, bias=False)
            self.map.weight.data = torch.tensor([0.1, 0.2, 0.3]).reshape(3, 1, 1, 1)

        def forward(self, x: Tensor) -> Tensor:
            return x + self.map(x)

    images = torch.randn(4, 3, 5, 5)
    for pictures in (images, images.contiguous(memory_format=torch.channels_last)):
        together, apart = (measurement(Images(), [pictures], channels=c).table for c in ("together", "apart"))
        np.testing.assert_allclose(apart["scaled"], [0.2], rtol=1e-5)
        assert together["scaled"].item() != pytest.approx(0.2, rel=1e-3)
    images[:, 2] = 0
    np.testing.assert_allclose(measurement(Images(), [images], channels="apart").table["scaled"], [0.15], rtol=1e-5)
    with pytest.raises(MeasurementError, match="channels is 'both'"):
        measurement(Images(), [images], channels="both")


@pytest.mark.parametrize("in_place", [False, True])
def test_successive_cosine(in_place):
    """Against the cosine of the perturbations themselves, also where the sum overwrites them."""
    torch.manual_seed(0)
    maps = [torch.randn(2, 2) for _ in range(4)]
    kept: list[Tensor] = []

    class Steps(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            for matrix in maps:
                f = x @ matrix
                kept.append(f.clone())
                x = f.add_(x) if in_place else x + f
            return x

    table = measurement(Steps(), [XY], successive=True).table
    expected = [torch.cosine_similarity(a, b, dim=1).mean().item() for a, b in itertools.pairwise(kept)]
    np.testing.assert_allclose(table["successive_cosine"], [np.nan, *expected], rtol=1e-5)
    assert "successive_cosine" not in measure(Steps(), [XY])


def test_a_released_state_is_measured_by_a_second_pass():
    """The first blocks hand on the sum itself, the last its normalised self: its step is measured all the same."""

    class Mixed(Turn):
        def forward(self, x: Tensor) -> Tensor:
            for layer in self.maps[:3]:
                x = x + layer(x)
            x = nn.functional.layer_norm(x + self.maps[3](x), (2,))
            return x + self.maps[4](x)

    torch.manual_seed(0)
    model = Mixed([torch.randn(2, 2) for _ in range(5)])
    table = measure(model, [XY])
    x = XY
    for layer in model.maps[:3]:
        x = x + layer(x)
    after = nn.functional.layer_norm(x + model.maps[3](x), (2,))
    expected = ((after - x).norm(dim=1) / x.norm(dim=1)).mean().item()
    assert table["step_scaled"][3] == pytest.approx(expected, rel=1e-5)
