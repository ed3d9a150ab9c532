"""What counts as a residual addition, and what only looks like one."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from resperturb.errors import MeasurementError
from resperturb.measurement.ancestry import Lineage, overlaps, region_of
from resperturb.measurement.measure import measure

WIDTH = 6


class Net(nn.Module):
    """A forward function with layers to call: l0, l1, ... (square linear maps of WIDTH)."""

    def __init__(self, forward, layers: int = 4, **extra: nn.Module) -> None:
        super().__init__()
        for index in range(layers):
            setattr(self, f"l{index}", nn.Linear(WIDTH, WIDTH))
        for name, module in extra.items():
            setattr(self, name, module)
        self._function = forward

    def forward(self, x: Tensor) -> Tensor:
        return self._function(self, x)


def inputs(*shape: int) -> Tensor:
    return torch.randn(*(shape or (3, WIDTH)), generator=torch.Generator().manual_seed(0))


def kinds(forward, x: Tensor | None = None, **extra: nn.Module) -> list[str]:
    torch.manual_seed(0)
    return list(measure(Net(forward, **extra), [inputs() if x is None else x]).kind)


def refused(forward, x: Tensor | None = None, **extra: nn.Module) -> bool:
    with pytest.raises(MeasurementError, match="no residual addition"):
        kinds(forward, x, **extra)
    return True


def add_out(x: Tensor, f: Tensor) -> Tensor:
    result = torch.empty_like(x)
    torch.add(x, f, out=result)
    return result


@pytest.mark.parametrize(
    "add",
    [
        lambda x, f: x + f,
        lambda x, f: f + x,
        lambda x, f: torch.add(x, f),
        lambda x, f: torch.add(x, f, alpha=0.5),
        lambda x, f: f.add_(x),
        lambda x, f: x.add_(f),
        lambda x, f: sum([x, f]),
        add_out,
    ],
    ids=["x+f", "f+x", "add", "alpha", "f.add_", "x.add_", "sum", "out="],
)
def test_every_way_to_write_an_addition_is_found(add):
    def forward(net, x):
        h = torch.tanh(net.l0(x))
        return net.l3(add(h, net.l2(torch.relu(net.l1(h)))))

    assert kinds(forward) == ["identity"]


def test_parallel_branches_are_two_blocks_of_one_stream():
    table = measure(Net(lambda net, x: (x + net.l0(x)) + net.l1(x)), [inputs()])
    assert list(table.kind) == ["identity", "identity"]
    assert table.step_scaled[0] == pytest.approx(table.scaled[0])
    # a branch computed before the sum it joins
    assert kinds(lambda net, x: net.l1(x) + (x + net.l0(x))) == ["identity", "identity"]


def test_a_projection_beside_a_branch_is_a_transition():
    assert kinds(lambda net, x: net.l0(x) + net.l2(torch.relu(net.l1(x)))) == ["transition"]
    assert kinds(lambda net, x: net.l2(torch.relu(net.l1(x))) + net.l0(x)) == ["transition"]


def test_padding_and_pooling_shortcuts_are_transitions():
    conv = nn.Conv2d(2, 4, 3, stride=2, padding=1)
    assert kinds(
        lambda net, x: functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 1, 1)) + net.conv(x).relu(),
        inputs(2, 2, 4, 4),
        conv=conv,
    ) == ["transition"]
    strided = nn.Conv2d(2, 2, 3, stride=2, padding=1)
    assert kinds(
        lambda net, x: functional.avg_pool2d(x, 2) + net.strided(x).relu(), inputs(2, 2, 4, 4), strided=strided
    ) == ["transition"]


def test_the_state_of_a_transition_is_the_projection():
    def forward(net, x):
        return net.l2(torch.relu(net.l1(x))) + 10 * net.l0(x)

    net = Net(forward)
    x = inputs()
    row = measure(net, [x]).iloc[0]
    assert row.state_norm == pytest.approx((10 * net.l0(x)).norm(dim=1).mean().item(), rel=1e-5)


def test_a_rescaled_shortcut_is_a_transition():
    assert kinds(lambda net, x: torch.add(net.l0(x), x, alpha=0.5)) == ["transition"]
    assert kinds(lambda net, x: 0.5 * x + net.l1(torch.relu(net.l0(x)))) == ["transition"]


# ------------------------------------------------------------------------------------- what only looks like a residual


def test_tanh_gelu_written_out_is_no_residual():
    def gelu(x):
        return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))

    assert refused(lambda net, x: net.l1(gelu(net.l0(x))))


def test_rotary_embedding_is_no_residual():
    def rotate(x):
        a, b = x.chunk(2, dim=-1)
        return torch.cat((-b, a), dim=-1)

    def forward(net, x):
        q, angle = net.l0(x), torch.arange(WIDTH, dtype=torch.float32)
        return net.l1(q * angle.cos() + rotate(q) * angle.sin())

    assert refused(forward)


def test_position_embeddings_are_no_residual():
    table = nn.Embedding(5, WIDTH)

    def forward(net, x):
        places = torch.arange(x.shape[1])
        return net.l0(x + net.table(places).expand_as(x))

    assert refused(forward, inputs(2, 5, WIDTH), table=table)


def test_positions_counted_from_the_tokens_are_no_residual():
    tokens = torch.tensor([[1, 2, 3], [4, 0, 0]])

    def forward(net, ids):
        places = (ids != 0).long().cumsum(1)
        return net.l0(net.words(ids) + net.places(places))

    assert refused(forward, tokens, words=nn.Embedding(5, WIDTH), places=nn.Embedding(5, WIDTH))


def test_attention_masks_and_biases_are_no_residual():
    def forward(net, x):
        scores = net.l0(x) @ net.l1(x).transpose(1, 2)
        mask = torch.zeros_like(scores).masked_fill(x.sum(-1)[:, None] > 0, -1e9)
        return (scores + mask + torch.ones_like(scores)).softmax(-1) @ net.l2(x)

    assert refused(forward, inputs(2, 5, WIDTH))


def test_gated_units_are_no_residual():
    assert refused(lambda net, x: net.l0(x) * torch.sigmoid(net.l1(x)))
    assert refused(lambda net, x: functional.glu(torch.cat([net.l0(x), net.l1(x)], -1)))


def test_a_highway_gate_is_no_residual():
    def forward(net, x):
        t = torch.sigmoid(net.l0(x))
        return t * torch.relu(net.l1(x)) + (1 - t) * x

    assert refused(forward)
    # with a gate of its own for what is carried
    assert refused(lambda net, x: net.l0(x).sigmoid() * net.l1(x) + net.l2(x).sigmoid() * x)


def test_sums_of_linear_maps_are_no_residual():
    assert refused(lambda net, x: net.l0(x) + net.l1(x))  # q + k
    assert refused(lambda net, x: net.l0(x) + 0.1 * net.l2(net.l1(x)))  # a low-rank adapter

    def forward(net, x):
        q, k, v = net.qkv(x).chunk(3, dim=-1)
        return q + k + v

    assert refused(forward, qkv=nn.Linear(WIDTH, 3 * WIDTH))


def test_halves_of_one_tensor_are_not_each_others_state():
    def forward(net, x):
        a, b = net.wide(x).chunk(2, dim=-1)
        return a + net.l1(torch.relu(net.l0(b)))

    assert refused(forward, wide=nn.Linear(WIDTH, 2 * WIDTH))


def test_recurrent_gates_are_no_residual():
    assert refused(lambda net, x: net.gru(x)[0], inputs(2, 4, WIDTH), gru=nn.GRU(WIDTH, WIDTH, batch_first=True))


def test_broadcast_and_unrelated_sums_are_no_residual():
    assert refused(lambda net, x: x + net.l0(x).mean(0, keepdim=True))
    assert refused(lambda net, x: x + torch.ones_like(x))


# ------------------------------------------------------------------------------------- ancestry through memory


def test_ancestry_survives_views_copies_and_in_place_operations():
    def forward(net, x):
        h = net.l0(x).clone()
        view = h.view(-1, 2, 3).transpose(1, 2)
        view.relu_()  # changes h through a view of it
        g = torch.zeros_like(h)
        g[:, :3] = net.l1(h)[:, :3]  # written in two parts into a constant
        g[:, 3:] = net.l2(h)[:, 3:]
        return h.contiguous().float() + g

    assert kinds(forward) == ["identity"]


def test_an_overwritten_tensor_loses_its_ancestry():
    def forward(net, x):
        h = net.l0(x)
        f = net.l1(h)
        f.zero_()
        return h + f

    assert refused(forward)


def test_dead_tensors_leave_no_ancestry_behind():
    """Freed memory is handed out again at once: a constant there must not inherit what was there before."""

    def forward(net, x):
        for _ in range(200):
            f = net.l0(x)
            del f
            constant = torch.full_like(x, 2.0)
            x = x + constant
        return x

    assert refused(forward)


def test_regions_of_views():
    base = torch.zeros(4, 6, 5)
    assert region_of(base.transpose(0, 2)) == region_of(base)
    assert region_of(base.view(24, 5)) == region_of(base)
    a, b, c = base.chunk(3, dim=1)
    assert not overlaps(region_of(a), region_of(b))
    assert not overlaps(region_of(c), region_of(a))
    assert overlaps(region_of(base[:, :3]), region_of(base[:, 2:5]))
    assert overlaps(region_of(base[:, 0]), region_of(base))
    assert not overlaps(region_of(base[0]), region_of(base[2:].reshape(-1)))


def test_a_partial_write_changes_only_what_it_covers():
    lineage = Lineage()
    base = torch.zeros(4, 6)
    whole, half = lineage.node(), lineage.node()
    lineage.write(base, whole)
    left, right = base.chunk(2, dim=1)
    before = lineage.read(right)
    lineage.write(left, half)
    assert lineage.read(left) is half
    assert lineage.read(right) is before
    assert set(lineage.read(base).parents) == {whole, half}
    assert lineage.read(torch.zeros(4, 6)) is None
