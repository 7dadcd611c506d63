"""The encoder as a guest: what other libraries take, and what is traced or exported of it."""

import mmengine.registry
import pytest
import torch
from tiny_models import ARCH, CTC, PIXELS, TEXT, recognizer_config

from mms_ocr.models import TextViT
from mms_ocr.registry import MODELS

BACKBONE = dict(type="mms_ocr.TextViT", arch=ARCH)


def classifier(neck="GlobalAveragePooling", head="LinearClsHead", **backbone):
    mmengine.registry.init_default_scope("mmpretrain")
    return MODELS.build(
        dict(
            type="mmpretrain.ImageClassifier",
            backbone=BACKBONE | backbone,
            neck=dict(type=neck) if neck else None,
            head=dict(type=head, num_classes=5, in_channels=24),
        )
    ).eval()


def test_a_classifier_with_the_neck_of_mmpretrain_takes_a_tuple():
    model, images = classifier(out_indices=[-1]), torch.randn(3, 3, 32, 128)
    with torch.no_grad():
        logits = model(images)
        (feature_map,) = model.backbone(images)
        torch.testing.assert_close(logits, model.head.fc(feature_map.mean(dim=(2, 3))))


def test_a_classifier_takes_the_class_token():
    model = classifier(None, "VisionTransformerClsHead", out_type="cls_token", out_indices=[-1])
    images = torch.randn(3, 3, 32, 128)
    tokens = TextViT(arch=ARCH, out_type="tokens").eval()
    tokens.load_state_dict(model.backbone.state_dict())
    with torch.no_grad():
        logits, expected = model(images), model.head.layers.head(tokens(images)[:, 0])
    torch.testing.assert_close(logits, expected)


def test_tensor_for_a_classifier_raises_with_the_setting():
    for neck, more in (("GlobalAveragePooling", {}), (None, dict(out_type="cls_token"))):
        with pytest.raises(ValueError, match=r"ImageClassifier takes a tuple.*out_indices=\[-1\]"):
            classifier(neck, **more)(torch.randn(3, 3, 32, 128))


def test_tuple_for_a_model_of_tensors_raises(tmp_path):
    images = torch.randn(1, 3, 32, 128)
    backbone = dict(BACKBONE, out_indices=[-1])
    for kind in ("TextSegmentor", "TextSuperResolver"):
        config = dict(type=f"mms_ocr.{kind}", backbone=backbone, decoder=PIXELS)
        with pytest.raises(ValueError, match="out_indices=-1"):
            MODELS.build(config)(images)
    model = MODELS.build(recognizer_config(tmp_path, backbone, **CTC))
    with pytest.raises(ValueError, match=r"takes one tensor.*out_indices=-1"):
        model.backbone(images)


def test_other_models_take_any_output():
    for indices in (-1, [-1]):
        owner = torch.nn.Module()
        owner.backbone = TextViT(arch=ARCH, out_indices=indices)
        outputs = owner.backbone(torch.randn(1, 3, 32, 128))
        assert isinstance(outputs, tuple) is (indices == [-1])


class Logits(torch.nn.Module):
    """Encoder and head of a recognizer, from images to logits."""

    def __init__(self, recognizer):
        super().__init__()
        self.recognizer = recognizer

    def forward(self, images, targets=None):
        decoder, feature_map = self.recognizer.decoder, self.recognizer.backbone(images)
        if targets is None:
            return decoder.forward_train(feature_map)
        memory, mask = decoder._memory(feature_map, None, None)
        return decoder.classifier(decoder._attention(targets, memory, mask))


def build(kind, tmp_path):
    if kind in ("map", "row", "tokens", "cls_token"):
        return TextViT(arch=ARCH, out_type=kind)
    if kind == "tuple":
        return TextViT(arch=ARCH, out_indices=[0, -1])
    if kind in ("conv", "attention", "mean"):
        head = dict(CTC, pooling=kind, num_rows=8)
        return Logits(MODELS.build(recognizer_config(tmp_path, BACKBONE, **head)))
    if kind == "autoregressive":
        head = dict(TEXT, max_seq_len=9)
        return Logits(MODELS.build(recognizer_config(tmp_path, BACKBONE, **head)))
    return MODELS.build(dict(type=f"mms_ocr.{kind}", backbone=BACKBONE, decoder=PIXELS))


def batch(kind, size):
    images = torch.randn(size, 3, *((16, 64) if kind == "TextSuperResolver" else (32, 128)))
    return (images, torch.randint(0, 4, (size, 9))) if kind == "autoregressive" else (images,)


KINDS = ("map", "row", "tokens", "cls_token", "tuple", "conv", "attention", "mean")
MODELS_OF_TASKS = ("autoregressive", "TextSegmentor", "TextSuperResolver")


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("how", ["trace", "export"])
@pytest.mark.parametrize("kind", [*KINDS, *MODELS_OF_TASKS])
def test_traced_and_exported_models_are_right_at_other_batch_sizes(kind, how, tmp_path):
    model = build(kind, tmp_path).eval().requires_grad_(False)
    if how == "trace":
        traced = torch.jit.trace(model, batch(kind, 1), check_trace=False)
    else:
        given = batch(kind, 3)
        size = torch.export.Dim("batch", min=1, max=64)
        dynamic = tuple({0: size} for _ in given)
        traced = torch.export.export(model, given, dynamic_shapes=dynamic).module()
    for size in (1, 5):
        given = batch(kind, size)
        torch.testing.assert_close(traced(*given), model(*given))


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_a_whole_decoding_is_not_traced(tmp_path):
    model = build("autoregressive", tmp_path).recognizer.eval().requires_grad_(False)

    def read(images):
        return model.decoder.forward_test(model.backbone(images))

    with pytest.raises(ValueError, match="depend on the image and cannot be traced"):
        torch.jit.trace(read, batch("map", 2), check_trace=False)
