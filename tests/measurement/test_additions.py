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
    """A forward function, and layers for it to call."""

    def __init__(self, forward) -> None:
        super().__init__()
        self.l0, self.l1, self.l2, self.l3 = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.two, self.three = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(WIDTH, 3 * WIDTH)
        self.words, self.places = nn.Embedding(5, WIDTH), nn.Embedding(5, WIDTH)
        self.strided, self.wider = (nn.Conv2d(2, width, 3, stride=2, padding=1) for width in (2, 4))
        self.gru = nn.GRU(WIDTH, WIDTH, batch_first=True)
        self._function = forward

    def forward(self, x: Tensor) -> Tensor:
        return self._function(self, x)


GENERATOR = torch.Generator().manual_seed(0)
ROWS, STATES, IMAGES = (torch.randn(shape, generator=GENERATOR) for shape in ((3, WIDTH), (2, 5, WIDTH), (2, 2, 4, 4)))
TOKENS = torch.tensor([[1, 2, 3], [4, 0, 0]])


def table_of(forward, x: Tensor = ROWS):
    return measure(Net(forward), [x])


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

    assert list(table_of(forward).kind) == ["identity"]


def test_parallel_branches_are_two_blocks_of_one_stream():
    table = table_of(lambda net, x: (x + net.l0(x)) + net.l1(x))
    assert list(table.kind) == ["identity", "identity"]
    assert table.step_scaled[0] == pytest.approx(table.scaled[0])
    branch_before_the_sum_it_joins = table_of(lambda net, x: net.l1(x) + (x + net.l0(x)))
    assert list(branch_before_the_sum_it_joins.kind) == ["identity", "identity"]


@pytest.mark.parametrize(
    ("forward", "x"),
    [
        (lambda net, x: net.l0(x) + net.l2(torch.relu(net.l1(x))), ROWS),
        (lambda net, x: net.l2(torch.relu(net.l1(x))) + net.l0(x), ROWS),
        (lambda net, x: torch.add(net.l0(x), x, alpha=0.5), ROWS),
        (lambda net, x: 0.5 * x + net.l1(torch.relu(net.l0(x))), ROWS),
        (lambda net, x: functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 1, 1)) + net.wider(x).relu(), IMAGES),
        (lambda net, x: functional.avg_pool2d(x, 2) + net.strided(x).relu(), IMAGES),
    ],
    ids=["projection", "projection last", "rescaled last", "rescaled", "padded", "pooled"],
)
def test_other_shortcuts_than_the_identity_are_transitions(forward, x):
    assert list(table_of(forward, x).kind) == ["transition"]


# ------------------------------------------------------------------------------------- what only looks like a residual


def tanh_gelu(net, x):
    h = net.l0(x)
    return net.l1(0.5 * h * (1 + torch.tanh(math.sqrt(2 / math.pi) * (h + 0.044715 * h**3))))


def rotary_embedding(net, x):
    q, angle = net.l0(x), torch.arange(WIDTH, dtype=torch.float32)
    a, b = q.chunk(2, dim=-1)
    return net.l1(q * angle.cos() + torch.cat((-b, a), dim=-1) * angle.sin())


def position_embedding(net, x):
    return net.l0(x + net.places(torch.arange(x.shape[1])).expand_as(x))


def positions_counted_from_tokens(net, ids):
    return net.l0(net.words(ids) + net.places((ids != 0).long().cumsum(1)))


def attention_mask(net, x):
    scores = net.l0(x) @ net.l1(x).transpose(1, 2)
    mask = torch.zeros_like(scores).masked_fill(x.sum(-1)[:, None] > 0, -1e9)
    return (scores + mask + torch.ones_like(scores)).softmax(-1) @ net.l2(x)


def highway_gate(net, x):
    t = torch.sigmoid(net.l0(x))
    return t * torch.relu(net.l1(x)) + (1 - t) * x


def query_key_value(net, x):
    q, k, v = net.three(x).chunk(3, dim=-1)
    return q + k + v


def halves_of_one_tensor(net, x):
    a, b = net.two(x).chunk(2, dim=-1)
    return a + net.l1(torch.relu(net.l0(b)))


def overwritten_branch(net, x):
    h = net.l0(x)
    f = net.l1(h)
    f.zero_()
    return h + f


def constants_in_freed_memory(net, x):
    """Freed memory is handed out again at once: a constant there must not inherit what was there before."""
    for _ in range(200):
        f = net.l0(x)
        del f
        constant = torch.full_like(x, 2.0)
        x = x + constant
    return x


@pytest.mark.parametrize(
    ("forward", "x"),
    [
        (tanh_gelu, ROWS),
        (rotary_embedding, ROWS),
        (position_embedding, STATES),
        (positions_counted_from_tokens, TOKENS),
        (attention_mask, STATES),
        (highway_gate, ROWS),
        pytest.param(lambda net, x: net.l0(x).sigmoid() * net.l1(x) + net.l2(x).sigmoid() * x, ROWS, id="two_gates"),
        pytest.param(lambda net, x: net.l0(x) * torch.sigmoid(net.l1(x)), ROWS, id="gated_unit"),
        pytest.param(lambda net, x: functional.glu(torch.cat([net.l0(x), net.l1(x)], -1)), ROWS, id="glu"),
        pytest.param(lambda net, x: net.l0(x) + net.l1(x), ROWS, id="query_key"),
        pytest.param(lambda net, x: net.l0(x) + 0.1 * net.l2(net.l1(x)), ROWS, id="low_rank_adapter"),
        (query_key_value, ROWS),
        (halves_of_one_tensor, ROWS),
        pytest.param(lambda net, x: net.gru(x)[0], STATES, id="recurrent_gates"),
        pytest.param(lambda net, x: x + net.l0(x).mean(0, keepdim=True), ROWS, id="broadcast_sum"),
        pytest.param(lambda net, x: x + torch.ones_like(x), ROWS, id="sum_with_a_constant"),
        (overwritten_branch, ROWS),
        (constants_in_freed_memory, ROWS),
    ],
)
def test_it_is_no_residual_addition(forward, x):
    with pytest.raises(MeasurementError, match="no residual addition"):
        table_of(forward, x)


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

    assert list(table_of(forward).kind) == ["identity"]


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
