"""Attention for training in bf16 on CPU, against torch's by value."""

import pytest
import torch
import torch.nn.functional as F
from mmpretrain.models.utils import MultiheadAttention

from mms_ocr.models import CrossAttentionDecoder, PixelDecoder, SelfAttentionDecoder, TextViT
from mms_ocr.models.backbones import attention
from mms_ocr.models.backbones.attention import attend, use_attend

ARCH = dict(embed_dims=24, num_layers=3, num_heads=3, feedforward_channels=48)


def tensors(dtype=torch.bfloat16, queries=17, tokens=33):
    shapes = [(2, 3, queries, 8), (2, 3, tokens, 8), (2, 3, tokens, 8)]
    return [torch.randn(shape).to(dtype).requires_grad_() for shape in shapes]


def out_and_gradients(function, inputs):
    leaves = [tensor.detach().requires_grad_() for tensor in inputs]
    out = function(*leaves)
    weights = torch.linspace(-1, 1, out.numel()).view_as(out).to(out.dtype)
    return [out, *torch.autograd.grad((out * weights).sum(), leaves)]


@pytest.fixture
def torchs(monkeypatch):
    """Count the calls of torch's function."""
    calls = []
    whole = F.scaled_dot_product_attention

    def counting(*args, **kwargs):
        calls.append(args)
        return whole(*args, **kwargs)

    monkeypatch.setattr(attention.F, "scaled_dot_product_attention", counting)
    return calls


@pytest.mark.parametrize("autocast", [False, True])
def test_values_and_gradients_are_those_of_torch(autocast, torchs):
    inputs = tensors()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        ours = out_and_gradients(attend, inputs)
    assert not torchs
    doubles = [tensor.double() for tensor in inputs]
    exact = out_and_gradients(F.scaled_dot_product_attention, doubles)
    for mine, true in zip(ours, exact):
        assert mine.dtype is torch.bfloat16
        assert (mine.double() - true).norm() < 0.02 * true.norm()


def in_float32():
    return [tensor.float() for tensor in tensors()]


def in_half():
    """Torch's does not round scores to fp16, in which large ones would be infinite."""
    return [tensor.detach().half().requires_grad_() for tensor in tensors()]


def without_gradients():
    return [tensor.detach() for tensor in tensors()]


@pytest.mark.parametrize("inputs", [in_float32, in_half, without_gradients])
def test_torch_attention_is_used_where_it_is_fast(inputs, torchs):
    given = list(inputs())
    assert torch.equal(attend(*given), F.scaled_dot_product_attention(*given))
    assert len(torchs) == 2


@pytest.mark.parametrize(
    "settings",
    [dict(dropout_p=0.5), dict(attn_mask=torch.ones(17, 33).tril(10).bool()), dict(scale=2.0)],
)
def test_masks_dropout_and_scale_are_torchs(settings, torchs):
    inputs = tensors()
    torch.manual_seed(3)
    ours = attend(*inputs, **settings)
    torch.manual_seed(3)
    assert torch.equal(ours, F.scaled_dot_product_attention(*inputs, **settings))
    assert len(torchs) == 2


def test_no_dropout_leaves_the_fast_way_open(torchs):
    attend(*tensors(), dropout_p=0.0)
    assert not torchs


def test_probabilities_are_kept_up_to_a_limit(torchs, monkeypatch):
    monkeypatch.setattr(attention, "MAX_PROBABILITIES", 2 * 3 * 17 * 33)
    attend(*tensors())
    assert not torchs
    attend(*tensors(tokens=34))
    assert len(torchs) == 1


def test_only_probabilities_are_kept_beside_the_inputs():
    inputs, kept = tensors(), []

    def pack(tensor):
        kept.append(tensor)
        return tensor

    with (
        torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16),
    ):
        attend(*inputs)
    large = {tensor.data_ptr(): tensor for tensor in kept if tensor.shape[-2:] == (17, 33)}
    assert len(large) == 1
    assert next(iter(large.values())).dtype is torch.bfloat16


def test_compiled_models_use_torch_attention():
    inputs = tensors()
    compiled = torch.compile(attend, backend="eager", fullgraph=True)
    assert torch.equal(compiled(*inputs), F.scaled_dot_product_attention(*inputs))


def built():
    grid = (4, 16)
    return [
        TextViT(arch=ARCH, img_size=(16, 64)),
        SelfAttentionDecoder(grid, 24, 4, 16, 2, 2),
        PixelDecoder(24, 1, 4, grid, decoder_embed_dim=16, decoder_num_heads=2),
    ]


@pytest.mark.parametrize("index", range(3))
def test_models_attend_by_it(index):
    model = built()[index]
    layers = [layer for layer in model.modules() if isinstance(layer, MultiheadAttention)]
    assert layers
    assert all(layer.scaled_dot_product_attention is attend for layer in layers)


def test_encoder_trains_by_it(torchs):
    model = TextViT(arch=ARCH, img_size=(16, 64))
    images = torch.randn(2, 3, 16, 64)
    with torch.autocast("cpu", torch.bfloat16):
        model(images).sum().backward()
    assert not torchs
    with torch.no_grad():
        model(images)
    assert len(torchs) == 3


def test_cross_attention_trains_by_it(torchs):
    decoder = CrossAttentionDecoder((4, 16), 24, 4, 16, 2, 2)
    visible, predicted = torch.arange(64).view(2, 32), torch.arange(64).view(2, 32)
    with torch.autocast("cpu", torch.bfloat16):
        decoder(torch.randn(2, 33, 24), visible, predicted).sum().backward()
    assert not torchs


def test_given_scale_is_kept():
    layer = MultiheadAttention(24, 3, qk_scale=0.5)
    before = layer.scaled_dot_product_attention
    use_attend(layer)
    assert layer.scaled_dot_product_attention is before
