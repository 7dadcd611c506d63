"""Whole recognizers: Union14M's MAERec against a slow version of it, and the dictionaries."""

import copy

import pytest

pytest.importorskip("mmocr")

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.runner import load_checkpoint
from mmengine.runner.checkpoint import get_state_dict, save_checkpoint
from mmocr.models.common.dictionary import Dictionary
from timm_reference import ARCH, DIM, GRID, TimmStyle, mae_positions

from mms_ocr.models import PretrainedRecognizer
from mms_ocr.models.textrecog.ctc_decoder import read_columns
from mms_ocr.models.weights import find_recognizer, load_model, read_state_dict
from mms_ocr.models.weights.families import MAEREC_CLASSES
from mms_ocr.models.weights.initializers import CLASS_ROWS
from mms_ocr.registry import MODELS
from mms_ocr.rendering import FontCollection, RenderSettings, TextSource, WordRenderer
from mms_ocr.utils.dictionaries import read_dictionary

SPECIAL = dict(
    with_padding=True, with_unknown=True, same_start_end=True, with_start=True, with_end=True
)
CHARACTERS = list(MAEREC_CLASSES[:-3])


@pytest.fixture
def dictionary(tmp_path):
    def make(characters=CHARACTERS, **settings):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.txt"
        path.write_text("\n".join(characters))
        return dict(type="mmocr.Dictionary", dict_file=str(path), **(SPECIAL | settings))

    return make


def decoder_config(dictionary, kind="mms_ocr.TextDecoder", **settings):
    return dict(
        type=kind,
        n_layers=2,
        d_embedding=DIM,
        d_model=DIM,
        n_head=2,
        d_k=DIM // 2,
        d_v=DIM // 2,
        d_inner=48,
        max_seq_len=8,
        dictionary=dictionary,
        postprocessor=dict(type="mmocr.AttentionPostprocessor"),
        **settings,
    )


def recognizer_config(dictionary, init_cfg=None, out_type="tokens"):
    return dict(
        type="mmocr.EncoderDecoderRecognizer",
        init_cfg=init_cfg,
        backbone=dict(type="mms_ocr.TextViT", arch=ARCH, img_size=(32, 128), out_type=out_type),
        decoder=decoder_config(dictionary),
        data_preprocessor=dict(type="mmocr.TextRecogDataPreprocessor"),
    )


@pytest.fixture
def maerec(dictionary, tmp_path):
    """A recognizer as Union14M builds it, of a slow encoder and MMOCR's decoder, and its file."""
    encoder = TimmStyle(positions=mae_positions())
    decoder = MODELS.build(decoder_config(dictionary(), "mmocr.NRTRDecoder"))
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.5)
    model = torch.nn.ModuleDict({"backbone": encoder, "decoder": decoder}).eval()
    path = tmp_path / "maerec.pth"
    save_checkpoint({"state_dict": get_state_dict(model), "meta": {"epoch": 10}}, str(path))
    return model, str(path)


def build(dictionary, path, **settings):
    init_cfg = dict(type="mms_ocr.PretrainedRecognizer", checkpoint=path, **settings)
    model = MODELS.build(recognizer_config(dictionary, init_cfg))
    model.init_weights()
    return model.eval()


def same(first, second):
    return all(torch.equal(value, second[key]) for key, value in first.items())


@torch.no_grad()
def probabilities(model, images):
    """Up to the end of each word."""
    result = model(images, mode="tensor")
    ends = (result.argmax(-1) == model.decoder.dictionary.end_idx).long()
    return result, ends.cumsum(1) - ends == 0


def test_the_classes_are_those_of_the_dictionary_of_mmocr(dictionary):
    assert len(CHARACTERS) == 91
    assert Dictionary(**{k: v for k, v in dictionary().items() if k != "type"}).dict == list(
        MAEREC_CLASSES
    )


@torch.no_grad()
def test_maerec_gives_the_original_outputs(maerec, dictionary):
    theirs, path = maerec
    ours = build(dictionary(), path)
    images = torch.randn(3, 3, 32, 128)
    # MAERec's decoder attends to the tokens of its backbone, the class token among them.
    expected = theirs["decoder"](None, theirs["backbone"](images), [dict(valid_ratio=1)] * 3)
    result, written = probabilities(ours, images)
    torch.testing.assert_close(result[written], expected[written], rtol=1e-3, atol=1e-6)
    assert ours.backbone.state_dict()._metadata[""]["grid"] == list(GRID)


def test_characters_in_another_order_are_put_into_it(maerec, dictionary):
    theirs, path = maerec
    mixed = CHARACTERS[40:] + CHARACTERS[:40]
    ours, moved = build(dictionary(), path), build(dictionary(mixed), path)
    images = torch.randn(3, 3, 32, 128)
    (expected, written), (result, _) = probabilities(ours, images), probabilities(moved, images)
    order = [moved.decoder.dictionary.dict.index(token) for token in MAEREC_CLASSES]
    assert order != sorted(order)
    torch.testing.assert_close(result[written][:, order], expected[written])
    assert same(read_state_dict(path), theirs.state_dict())


@pytest.mark.parametrize(
    ("characters", "settings", "message"),
    [
        ([*CHARACTERS, "^"], {}, r"1 unknown to the checkpoint \('\^'\)"),
        (CHARACTERS[:-1], {}, r"1 too few \(' '\)"),
        (CHARACTERS[:36], {}, r"55 too few \('A', .* and 49 more\)"),
        (CHARACTERS, dict(with_unknown=False), r"1 too few \('<UKN>'\)"),
        (
            [*CHARACTERS[:-1], "é"],
            {},
            r"1 unknown to the checkpoint \('é'\), and 1 too few \(' '\)",
        ),
    ],
)
def test_other_characters(maerec, dictionary, characters, settings, message):
    with pytest.raises(ValueError, match=message) as caught:
        build(dictionary(characters, **settings), maerec[1])
    assert "was trained on other characters" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("known", ["abcd", CHARACTERS])
def test_new_characters_leave_the_others_as_they_are(dictionary, tmp_path, known):
    before, path = build_helped(dictionary(known)).state_dict(), str(tmp_path / "start.pth")
    save_checkpoint({"state_dict": before}, path)
    init_cfg = dict(type="mms_ocr.PretrainedRecognizer", checkpoint=path, new_characters=True)
    after = build_helped(dictionary(["é", *known[::-1], "ß"]), init_cfg)
    new, count = [0, len(known) + 1], len(known)
    old = [*range(count, 0, -1), *range(count + 2, count + 5)]  # characters, and special tokens
    for key, value in after.state_dict().items():
        if not key.startswith(CLASS_ROWS):
            assert torch.equal(value, before[key]), key
            continue
        assert torch.equal(value[old], before[key]), key
        assert not torch.equal(*value[new]), key  # equal rows would train slowly
        if count > 50:
            deviations = (value[new] - before[key][:count].mean(0)) / before[key][:count].std(0)
            assert deviations.abs().max() < 5, key
    assert after.decoder.state_dict()._metadata[""]["classes"][-4:] == ["ß", *MAEREC_CLASSES[-3:]]


@torch.no_grad()
def test_bundled_reader_with_new_characters_reads_as_before(dictionary, repository):
    config = Config.fromfile(repository / "configs/textrecog/mms_vit_n_ctc_words.py").model
    settings, checkpoint = config.decoder.dictionary, "mms_ocr://mms_vit_n_ctc"
    known = read_dictionary(settings.dict_file)
    renderer = WordRenderer(FontCollection(), TextSource(max_length=12), RenderSettings.at(0.3))
    words = [renderer.render(index) for index in range(24)]
    pixels = np.stack([cv2.resize(word.image, (128, 32)) for word in words])
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 127.5 - 1
    models = []
    for characters in (known, [*known, *"äöüßéèàç€£"]):
        settings.dict_file = dictionary(characters)["dict_file"]
        config.init_cfg = dict(
            type="mms_ocr.PretrainedRecognizer", checkpoint=checkpoint, new_characters=True
        )
        models.append(MODELS.build(config).eval())
        models[-1].init_weights()
    first, second = (model.decoder.forward_train(model.extract_feat(images)) for model in models)
    torch.testing.assert_close(second[..., : len(known)], first[..., : len(known)])
    assert second.softmax(-1)[..., len(known) : len(known) + 10].sum(-1).mean() < 1e-3
    texts = []
    for model, logits in zip(models, (first, second)):
        tokens = model.decoder.dictionary
        paths = (read_columns(row, tokens.padding_idx) for row in logits.argmax(-1).tolist())
        texts.append([tokens.idx2str(path) for path in paths])
    assert texts[0] == texts[1]
    assert sum(text == word.text for text, word in zip(texts[0], words)) >= 18


@pytest.mark.parametrize(
    ("characters", "settings", "message"),
    [
        ([*CHARACTERS[:-1], "é"], {}, r"has 1 too few \(' '\)"),
        (CHARACTERS, dict(padding_token="<NIL>"), r"has 1 unknown to the checkpoint \('<NIL>'\)"),
    ],
)
def test_only_characters_may_be_new(maerec, dictionary, characters, settings, message):
    with pytest.raises(ValueError, match=message):
        build(dictionary(characters, **settings), maerec[1], new_characters=True)


def test_characters_cannot_be_added_to_unknown_ones(own, dictionary, tmp_path):
    path = str(tmp_path / "untold.pth")
    torch.save(dict(own[0].state_dict()), path)
    with pytest.raises(ValueError, match="does not store its characters"):
        build(dictionary("abcd"), path, new_characters=True)


def test_encoder_is_shifted_by_what_pretraining_changed(dictionary, tmp_path, repository):
    model = Config.fromfile(repository / "configs/textrecog/mms_vit_n_ctc_words.py").model
    before, after = read_state_dict("mms_ocr://mms_vit_n"), str(tmp_path / "after.pth")
    noise = {key: torch.randn(value.shape) for key, value in before.items()}
    changed = {
        key: value + noise[key] if value.is_floating_point() else value + 1
        for key, value in before.items()
    }
    torch.save(changed, after)
    start = read_state_dict("mms_ocr://mms_vit_n_ctc")
    shift = dict(before="mms_ocr://mms_vit_n", after=after, scale=0.25)
    model.init_cfg = dict(
        type="mms_ocr.PretrainedRecognizer", checkpoint="mms_ocr://mms_vit_n_ctc", shift=shift
    )
    built = MODELS.build(model)
    built.init_weights()
    moved = 0
    for key, value in built.state_dict().items():
        expected = start[key].float()
        kept = not key.startswith("backbone.") or "running" in key or "num_batches" in key
        if not kept and not key.endswith("pos_embed"):
            # Half precision of the bundled weights, and of their sum with the noise.
            expected = expected + 0.25 * (changed[key].float() - before[key].float())
            moved += 1
        if not key.endswith("pos_embed"):
            torch.testing.assert_close(value.float(), expected, atol=0.02, rtol=0.002)
    assert moved == 62


@pytest.mark.parametrize("wrong", ["missing", "shape", "setting"])
def test_encoders_that_do_not_match_shift_nothing(tmp_path, repository, wrong):
    model = Config.fromfile(repository / "configs/textrecog/mms_vit_n_ctc_words.py").model
    after = dict(read_state_dict("mms_ocr://mms_vit_n"))
    key = "backbone.layers.0.ffn.layers.0.0.weight"
    after[key] = after[key][:, :3]
    if wrong == "missing":
        del after[key]
    torch.save(after, tmp_path / "after.pth")
    shift = dict(before="mms_ocr://mms_vit_n", after=str(tmp_path / "after.pth"), scale=1.0)
    if wrong == "setting":
        del shift["scale"]
    model.init_cfg = dict(
        type="mms_ocr.PretrainedRecognizer", checkpoint="mms_ocr://mms_vit_n_ctc", shift=shift
    )
    with pytest.raises(ValueError, match="scale" if wrong == "setting" else key):
        MODELS.build(model).init_weights()


def test_initializing_again_leaves_the_weights_alone(maerec, dictionary):
    model = build(dictionary(CHARACTERS[::-1]), maerec[1])
    before = copy.deepcopy(model.state_dict())
    model.init_weights()
    assert same(model.state_dict(), before)


# Our own recognizers


@pytest.fixture
def own(dictionary, tmp_path):
    model = MODELS.build(recognizer_config(dictionary("abcd"))).eval()
    path = tmp_path / "own.pth"
    save_checkpoint({"state_dict": get_state_dict(model)}, str(path))
    return model, str(path)


def test_recognizer_weights_store_their_characters(maerec, dictionary):
    theirs, path = maerec
    recognizer = find_recognizer(read_state_dict(path), path)
    assert recognizer.family == "maerec"
    model = MODELS.build(recognizer_config(dictionary())).eval()
    model.load_state_dict(recognizer.weights)
    assert same(theirs["decoder"].state_dict(), model.decoder.state_dict())
    model = MODELS.build(recognizer_config(dictionary(CHARACTERS[::-1])))
    with pytest.raises(ValueError, match="the checkpoint has '0' at index 0, the dictionary ' '"):
        model.load_state_dict(recognizer.weights)


def test_recognizer_of_this_project(own, dictionary):
    ours = build(dictionary("abcd"), own[1])
    assert same(ours.state_dict(), own[0].state_dict())
    recognizer = find_recognizer(read_state_dict(own[1]), own[1])
    assert (recognizer.family, recognizer.classes[:4]) == ("mms", ("a", "b", "c", "d"))


@pytest.mark.parametrize("prefix", ["module.", "model."])
def test_a_recognizer_inside_another_module(own, dictionary, tmp_path, prefix):
    path = str(tmp_path / "wrapped.pth")
    wrapped = torch.nn.ModuleDict({prefix[:-1]: own[0]})
    save_checkpoint({"state_dict": get_state_dict(wrapped)}, path)
    assert same(build(dictionary("abcd"), path).state_dict(), own[0].state_dict())
    with pytest.raises(ValueError, match=r"1 unknown to the checkpoint \('e'\)"):
        build(dictionary("abce"), path)


def test_our_own_recognizer_in_another_order(own, dictionary):
    moved = build(dictionary("dcba"), own[1])
    images = torch.randn(2, 3, 32, 128)
    (expected, written), (read, _) = probabilities(own[0], images), probabilities(moved, images)
    order = [3, 2, 1, 0, 4, 5, 6]
    torch.testing.assert_close(read[written][:, order], expected[written])


@pytest.mark.parametrize("load", [load_model, load_checkpoint])
@pytest.mark.parametrize(
    ("characters", "message"),
    [
        ("abdc", r"decoder\.dictionary: the checkpoint has 'c' at index 2, the dictionary 'd'"),
        ("abcde", r"\(7 and 8 characters|of another shape .*\(7,\) inst"),
    ],
)
def test_a_checkpoint_is_not_loaded_under_another_dictionary(
    own, dictionary, load, characters, message
):
    model = MODELS.build(recognizer_config(dictionary(characters)))
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match=message):
        load(model, own[1])
    if load is load_model:
        assert same(model.state_dict(), before)


def test_a_checkpoint_without_its_characters(own, dictionary, tmp_path):
    path = str(tmp_path / "untold.pth")
    torch.save(dict(own[0].state_dict()), path)
    build(dictionary("wxyz"), path)  # the same number: the difference does not show
    with pytest.raises(ValueError, match="the dictionary of the decoder is not that of"):
        build(dictionary("abcde"), path)


def test_errors_name_the_likely_cause(own, maerec, dictionary):
    model = MODELS.build(recognizer_config(dictionary("abcde")))
    with pytest.raises(ValueError, match="the dictionary of the decoder is not that of the check"):
        load_model(model, own[1])
    with pytest.raises(ValueError, match=r"the names of another library: .*convert_weights"):
        load_model(model, maerec[1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(decoder=dict(n_layers=1)), "; its decoder is another than that of the config$"),
        (
            dict(decoder=dict(type="mms_ocr.CTCDecoder", in_channels=DIM)),
            "; its decoder is another than that of the config$",
        ),
        (
            dict(backbone=dict(arch=ARCH | dict(embed_dims=DIM * 2))),
            f"; its encoder is {DIM} wide, and that of the config {2 * DIM}$",
        ),
    ],
)
def test_other_models_do_not_report_the_dictionary(own, dictionary, changes, message):
    config = recognizer_config(dictionary("abcde"))
    for part, settings in changes.items():
        if "type" in settings:
            config[part] = settings | dict(dictionary=config[part]["dictionary"])
        config[part] |= settings
    with pytest.raises(ValueError, match=message):
        load_model(MODELS.build(config), own[1])


def test_encoder_alone_is_not_a_recognizer(tmp_path, dictionary):
    path = str(tmp_path / "timm.pth")
    torch.save(TimmStyle().state_dict(), path)
    with pytest.raises(ValueError, match="an encoder of family timm and no recognizer"):
        build(dictionary(), path)


def test_another_decoder_is_named(maerec, dictionary):
    config = recognizer_config(dictionary())
    config["decoder"]["n_layers"] = 1
    model = MODELS.build(config)
    with pytest.raises(ValueError, match=r"18 unknown \(decoder\.layer_stack\.1"):
        PretrainedRecognizer(maerec[1])(model)


def build_helped(dictionary, init_cfg=None):
    """A recognizer with a CTC head that only trains beside its decoder."""
    config = recognizer_config(dictionary, init_cfg, out_type="map")
    loss = dict(type="mmocr.CTCModuleLoss")
    config["decoder"]["auxiliary"] = dict(type="mms_ocr.CTCDecoder", module_loss=loss)
    model = MODELS.build(config)
    model.init_weights()
    return model


@pytest.fixture
def helped(dictionary, tmp_path):
    """Such a recognizer and its file."""
    model, path = build_helped(dictionary("abcd")).eval(), str(tmp_path / "helped.pth")
    save_checkpoint({"state_dict": get_state_dict(model)}, path)
    return model, path


@pytest.mark.parametrize("kind", ["PretrainedRecognizer", "PretrainedModel"])
def test_auxiliary_head_may_be_in_only_one(own, helped, dictionary, kind, tmp_path):
    init_cfgs = [dict(type=f"mms_ocr.{kind}", checkpoint=path) for path in (own[1], helped[1])]
    plain = MODELS.build(recognizer_config(dictionary("abcd"), init_cfgs[1]))
    plain.init_weights()
    assert same(plain.state_dict(), helped[0].state_dict())
    given = build_helped(dictionary("abcd"), init_cfgs[0])
    assert same(own[0].state_dict(), given.state_dict())
    both = build_helped(dictionary("abcd"), init_cfgs[1])
    assert same(both.state_dict(), helped[0].state_dict())
    # A part of such a head is a fault as any other.
    weights = get_state_dict(helped[0])
    del weights["decoder.auxiliary.classifier.bias"]
    save_checkpoint({"state_dict": weights}, str(tmp_path / "part.pth"))
    with pytest.raises(ValueError, match=r"1 missing \(decoder\.auxiliary\.classifier\.bias\)"):
        build_helped(dictionary("abcd"), {**init_cfgs[0], "checkpoint": str(tmp_path / "part.pth")})


def test_auxiliary_head_is_reordered_with_the_dictionary(helped, dictionary):
    init_cfg = dict(type="mms_ocr.PretrainedRecognizer", checkpoint=helped[1])
    moved = build_helped(dictionary("dcba"), init_cfg)
    for name in ("decoder.classifier.weight", "decoder.auxiliary.classifier.bias"):
        before, after = helped[0].state_dict()[name], moved.state_dict()[name]
        torch.testing.assert_close(after[:4], before[:4].flip(0))
        torch.testing.assert_close(after[4:], before[4:])
