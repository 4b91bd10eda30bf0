"""Quantized layers, residual blocks and the architecture builder."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("brevitas")

from pynq_qsnn.architectures import (  # noqa: E402
    NAMES,
    Conv,
    Head,
    Linear,
    Pool,
    Residual,
    SelfAttention,
    Steps,
    architecture,
    parse,
)
from pynq_qsnn.errors import ConfigError  # noqa: E402
from pynq_qsnn.training.layers import AvgPool, SpikingConv, attend, match_shape  # noqa: E402
from pynq_qsnn.training.layers import Steps as TimeSteps  # noqa: E402
from pynq_qsnn.training.models import NetworkSpec, build_model  # noqa: E402


def spec(weight_bits=4, spike_bits=2, num_steps=2, model="custom", shape=(1, 8, 8)):
    return NetworkSpec(model, shape, 10, weight_bits, spike_bits, num_steps)


def images(count=4, shape=(1, 8, 8)):
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("weight_bits, values", [(1, {-1, 1}), (2, {-1, 0, 1})])
def test_low_bit_weights_take_exactly_these_values(weight_bits, values):
    model = build_model(spec(weight_bits, model="digits_small"))
    conv = model.layers[2].conv
    quantized = conv.quant_weight()
    codes = torch.round(quantized.value / quantized.scale)
    assert set(codes.unique().tolist()) == values
    torch.testing.assert_close(codes * quantized.scale, quantized.value)
    if weight_bits == 1:
        torch.testing.assert_close(quantized.scale.flatten(), conv.weight.abs().mean((1, 2, 3)))


@pytest.mark.parametrize("weight_bits", [1, 2, 4, 8])
@pytest.mark.parametrize("spike_bits, num_steps", [(1, 4), (2, 2), (4, 1), (8, 1)])
def test_every_allocation_takes_a_training_step(weight_bits, spike_bits, num_steps):
    torch.manual_seed(0)
    model = build_model(spec(weight_bits, spike_bits, num_steps, "digits_small"))
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    logits = model(images(8))
    torch.nn.functional.cross_entropy(logits, torch.arange(8)).backward()
    optimizer.step()
    assert logits.shape == (8, 10) and torch.isfinite(logits).all()
    for name, parameter in model.named_parameters():
        assert torch.isfinite(parameter.grad).all()
        assert not torch.equal(before[name], parameter), name


def test_first_and_last_layer_keep_eight_bits():
    model = build_model(spec(weight_bits=1, model="digits_small"))
    widths = [model.layers[0].weight_bits, model.layers[2].weight_bits, model.layers[-1].weight_bits]
    assert widths == [8, 1, 8]


def test_layer_outputs_are_codes_times_threshold():
    model = build_model(spec(4, 2, 2, "digits_small")).eval()
    seen = []
    model.layers[3].register_forward_hook(lambda module, inputs, output: seen.append(output))
    model(images())
    codes = seen[0] / model.layers[2].neuron.threshold
    assert seen[0].shape[0] == 2 * 4
    assert torch.equal(codes, codes.round()) and codes.min() >= 0 and codes.max() <= 3


def test_static_images_equal_frames_that_repeat_them():
    model = build_model(spec(num_steps=3, model="digits_small")).eval()
    still = images()
    torch.testing.assert_close(model(still), model(still.expand(3, *still.shape)))


def test_spike_residual_adds_codes_and_saturates():
    model = build_model(spec(), (Conv(6), Residual((Conv(6),), "spike"), Head())).eval()
    x = model.layers[0](images(), replay=True)
    block = model.layers[1]
    expected = torch.minimum(block.body[0](x) + x, torch.tensor(3 * block.body[0].neuron.threshold))
    assert torch.equal(block(x), expected)


def test_current_residual_joins_before_firing():
    table = (Conv(4), Residual((Conv(4), Conv(7, stride=2)), "current"), Head())
    model = build_model(spec(), table).eval()
    x = model.layers[0](images(), replay=True)
    block = model.layers[1]
    last = block.body[1]
    current = last.norm(last.conv(block.body[0](x)))
    current[:, :4] += x[:, :, ::2, ::2]
    assert torch.equal(block(x), last.neuron(current))


def test_residual_with_a_convolution_as_shortcut():
    table = (Conv(4), Residual((Conv(8, stride=2),), "spike", Conv(8, kernel=1, stride=2)), Head())
    assert build_model(spec(), table)(images()).shape == (4, 10)


def test_match_shape_subsamples_odd_sizes():
    assert match_shape(torch.ones(2, 3, 7, 7), (2, 5, 4, 4)).shape == (2, 5, 4, 4)


def test_average_pool_rounds_half_up_to_codes():
    codes = torch.tensor([[[[1.0, 1.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0]]]], requires_grad=True)
    pooled = AvgPool(2, 2, threshold=0.5)(codes * 0.5)
    assert (pooled / 0.5).tolist() == [[[[1.0, 0.0]]]]  # 2/4 is a tie and goes up, 1/4 goes down
    pooled.sum().backward()
    assert torch.allclose(codes.grad, torch.full_like(codes, 0.125))


def test_pools_groups_and_hidden_linear_build():
    table = (Conv(8), Pool("avg"), Conv(8, groups=8), Pool("sum"), Linear(20), Head())
    assert build_model(spec(), table)(images()).shape == (4, 10)


SMALL = ("digits_small", "cifar_resnet_small", "ResNet-20", "CNV", "SNN5", "Spikformer-1-64")


@pytest.mark.parametrize("name", SMALL)
def test_named_architectures_run_and_have_the_size_of_their_table(name):
    shape = architecture(name).input_shape
    model = build_model(spec(model=name, shape=shape)).eval()
    assert model(images(2, shape)).shape == (2, 10)
    assert num_weights(model) == architecture(name, shape).size(classes=10).weights


@pytest.mark.parametrize("name", [name for name in (*NAMES[:-1], "Spikformer-8-512") if name not in SMALL])
def test_every_named_architecture_builds(name):
    shape = architecture(name).input_shape
    with torch.device("meta"):  # no memory for weights
        model = build_model(spec(model=name, shape=shape))
    classes = architecture(name).entries[-1].classes or 1000
    model.layers[-1].linear.weight.data = torch.empty(classes, model.layers[-1].linear.in_features, device="meta")
    assert num_weights(model) == architecture(name, shape).size(classes=1000).weights


def num_weights(model):
    return sum(m.weight.numel() for m in model.modules() if hasattr(m, "quant_weight"))


@pytest.mark.parametrize("spike_bits, num_steps", [(1, 4), (4, 1)])
def test_attention_learns_and_normalises(spike_bits, num_steps):
    torch.manual_seed(0)
    model = build_model(spec(2, spike_bits, num_steps), parse("16 R16n1 X16h4 G FC"))
    model(images(8)).square().sum().backward()
    attention = model.layers[2].body[0]
    for part in (attention.query, attention.key, attention.value):
        assert part.conv.weight.grad.abs().sum() > 0
    x = torch.randint(0, 4, (2, 16, 5, 5)).float()
    q, k, v = x, x.roll(1, 0), x.roll(3, 1)
    heads = (slice(0, 4), slice(4, 8), slice(8, 12), slice(12, 16))
    for tokens in (slice(0, 5), slice(0, 1)):  # more and fewer tokens than channels of a head
        parts = [t[..., tokens] for t in (q, k, v)]
        scores = [
            (parts[0][:, h].flatten(2).transpose(1, 2) @ parts[1][:, h].flatten(2))
            @ parts[2][:, h].flatten(2).transpose(1, 2)
            for h in heads
        ]
        expected = torch.cat([s.transpose(1, 2) for s in scores], 1).reshape(parts[0].shape)
        assert torch.equal(attend(*parts, 4), expected)


def test_steps_repeat_and_sum():
    x = torch.arange(12.0).view(4, 3)  # four steps of a batch of one
    assert torch.equal(TimeSteps(4, 8)(x), x.repeat_interleave(2, 0))
    assert torch.equal(TimeSteps(4, 2)(x), torch.stack([x[0] + x[1], x[2] + x[3]]))
    batch = torch.arange(8.0).view(8, 1)  # four steps of a batch of two
    assert TimeSteps(4, 1)(batch).flatten().tolist() == [0 + 2 + 4 + 6, 1 + 3 + 5 + 7]


def test_every_layer_has_its_own_bits_and_steps():
    model = build_model(spec(8, 1, 4), parse("4 6w4s2 T1 5w1s4 FC"))
    convs = [layer for layer in model.layers if isinstance(layer, SpikingConv)]
    assert [(c.weight_bits, c.neuron.spike_bits, c.neuron.num_steps) for c in convs] == [
        (8, 1, 4),
        (4, 2, 4),
        (1, 4, 1),
    ]
    assert model.layers[-1].num_steps == 1 and model(images()).shape == (4, 10)


def test_float_weights_are_not_quantized():
    model = build_model(spec(16, 4, 1, "digits_small"))
    conv = model.layers[2].conv
    assert torch.equal(conv.quant_weight(), conv.weight)


@pytest.mark.parametrize(
    "table",
    [
        (Conv(4), Linear(4)),
        (Pool("max"), Head()),
        (Conv(4), Pool("max", 9), Head()),
        (Conv(4), Pool("median"), Head()),
        (Conv(4), Pool("sum", 16), Head()),
        (Conv(4, groups=3), Head()),
        (Conv(4, weight_bits=3), Head()),
        (Conv(4), Residual((Conv(5),), "spike", Conv(6)), Head()),
        (Conv(4), Residual((Conv(4, spike_bits=4),), "spike"), Head()),
        (Conv(4), Residual((Conv(3),), "current"), Head()),
        (Conv(4), Residual((Conv(4),), "voltage"), Head()),
        (Conv(4), Residual((Conv(4),), "iand"), Head()),  # two-bit codes
        (Conv(4, spike_bits=1), Residual((Conv(5, spike_bits=1),), "iand", Conv(5)), Head()),
        (Conv(4), Linear(4), Conv(4), Head()),
        (Conv(4), Steps(3), Head()),
        (Conv(4, spike_bits=8), Steps(1), Head()),
        (Conv(4), SelfAttention(3), Head()),
        (Conv(4), Residual((Conv(4), SelfAttention(2)), "spike"), Head()),
        (Conv(4), Pool("avg", 2, None, 1), Head()),
    ],
)
def test_impossible_tables_are_refused(table):
    with pytest.raises(ConfigError):
        build_model(spec(), table)
