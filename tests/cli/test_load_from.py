"""Starting from other weights by load_from, strictly."""

import json

import pytest
import torch
from mmengine.config import Config
from tiny_tasks import task_options, write_data, write_task

from mms_ocr.cli import testing, training
from mms_ocr.cli.launching import build_runner
from mms_ocr.models.weights import timm_names, write_checkpoint
from mms_ocr.utils import bundled

pytest.importorskip("mmocr")


@pytest.fixture
def config(tmp_path, monkeypatch):
    """Builds the runner of a tiny recognizer."""
    monkeypatch.setattr(Config, "pretty_text", "")  # whose layout takes most of the time
    path = write_task(tmp_path / "tiny.py", "textrecog")

    def build(**settings):
        cfg = Config.fromfile(path)
        cfg.merge_from_dict(dict(launcher="none", work_dir=str(tmp_path / "work"), **settings))
        return build_runner(cfg)

    return build


@pytest.fixture
def trained(config, tmp_path):
    """A recognizer that was trained, and its checkpoint."""
    model = config().model
    with torch.no_grad():
        for value in model.parameters():
            value.add_(torch.rand_like(value))
    path = str(tmp_path / "trained.pth")
    torch.save({"state_dict": model.state_dict(), "meta": {}}, path)
    return model.state_dict(), path


def loaded(runner):
    """Weights of a model after it is initialized and loaded, each time from the start."""
    runner._has_loaded = False
    for module in runner.model.modules():
        module._is_init = False
    runner.model.init_weights()
    runner.load_or_resume()
    return {key: value.clone() for key, value in runner.model.state_dict().items()}


def differing(weights, other):
    assert weights.keys() == other.keys()
    return {key.split(".")[0] for key in weights if not torch.equal(weights[key], other[key])}


def test_every_weight_is_loaded(config, trained):
    weights, path = trained
    runner = config(load_from=path)
    for prefix in ("", "module.", "_orig_mod.", "model.", "teacher.module."):
        torch.save({"state_dict": {prefix + key: value for key, value in weights.items()}}, path)
        assert differing(loaded(runner), weights) == set()


def test_bundled_weights(config, trained, tmp_path, monkeypatch):
    monkeypatch.setattr(bundled, "FOLDER", tmp_path)
    write_checkpoint(tmp_path / "tiny.safetensors", trained[0])
    assert differing(loaded(config(load_from="mms_ocr://tiny")), trained[0]) == set()
    with pytest.raises(FileNotFoundError, match="did you mean tiny"):
        loaded(config(load_from="mms_ocr://tinny"))


def unfit(weights):
    """Checkpoints that do not fit, and what the error names."""
    encoder = {key[9:]: value for key, value in weights.items() if key.startswith("backbone.")}
    yield timm_names(encoder), "54 missing|missing .*backbone.cls_token.*unknown .*blocks.0"
    yield encoder, "missing .*decoder"
    yield {**weights, "backbone.ln1.bias": torch.ones(5)}, r"another shape \(backbone.ln1.bias"
    yield {**weights, "neck.weight": torch.ones(5)}, r"1 unknown \(neck.weight"
    yield {k: v for k, v in weights.items() if "ln1" not in k}, r"missing .*ln1"
    yield {**weights, "backbone.ln1.bias": torch.full((24,), torch.nan)}, "not finite"


def test_misfits_raise(config, trained):
    weights, path = trained
    runner = config(load_from=path)
    for content, message in unfit(weights):
        torch.save(content, path)
        with pytest.raises(ValueError, match=message) as caught:
            loaded(runner)
        assert path in str(caught.value)


def test_excluded_parts_are_initialized(config, trained):
    weights, path = trained
    excluded = differing(loaded(config(load_from=path, load_from_exclude="decoder")), weights)
    assert excluded == {"decoder"}
    # A decoder of other characters, and of other parts, such as that of pretraining.
    weights["decoder.classifier.weight"] = torch.ones(3, 16)
    weights._metadata["decoder"]["classes"] = ["a", "b", "c"]
    torch.save({**weights, "neck.mask_token": torch.ones(1)}, path)
    settings = dict(load_from=path, load_from_exclude=["decoder", "neck"])
    own = loaded(config(**settings))
    assert torch.equal(own["backbone.cls_token"], weights["backbone.cls_token"])
    torch.save(weights, path)
    heads = ["decoder.classifier", "decoder.trg_word_emb"]
    own = loaded(config(load_from=path, load_from_exclude=heads))
    layer = "decoder.layer_stack.0.mlp.w_1.weight"
    assert torch.equal(own[layer], weights[layer])


def test_unknown_excluded_part_raises(config, trained):
    for part in ("decoder.classifer", "back"):
        with pytest.raises(ValueError, match=f"{part!r} is excluded .* neither the model nor"):
            loaded(config(load_from=trained[1], load_from_exclude=[part]))


def test_resuming_needs_equal_parameter_groups(config, trained):
    begun, resumed = config(load_from=trained[1]), config(resume=trained[1])
    for runner in (begun, resumed):
        runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
        runner.param_schedulers = None
    groups = begun.optim_wrapper.state_dict()
    checkpoint = {"state_dict": trained[0], "optimizer": groups, "message_hub": {}}
    checkpoint["meta"] = dict(iter=1, epoch=0)
    torch.save(checkpoint, trained[1])
    with pytest.raises(ValueError, match=r"groups of learning rates.* load_from "):
        resumed.load_or_resume()


def first_layer_rate(runner):
    wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    names = {id(value): name for name, value in runner.model.named_parameters()}
    return next(
        group["lr"] / runner.cfg.optim_wrapper.optimizer.lr
        for group in wrapper.optimizer.param_groups
        if "backbone.patch_embed.projection.weight" in {names[id(v)] for v in group["params"]}
    )


def test_an_encoder_that_was_loaded_counts_as_pretrained(config, trained, tmp_path):
    decayed = config().cfg.optim_wrapper.paramwise_cfg.layer_decay_rate ** 2
    path = trained[1]
    assert first_layer_rate(config()) == 1
    assert first_layer_rate(config(load_from=path)) == pytest.approx(decayed)
    assert first_layer_rate(config(load_from=path, load_from_exclude="decoder")) < 1
    assert first_layer_rate(config(load_from=path, load_from_exclude="backbone")) == 1
    for resume in ("auto", path):  # resumed runs have the groups that they began with
        assert first_layer_rate(config(load_from=path, resume=resume)) == pytest.approx(decayed)
    assert first_layer_rate(config(load_from=path, resume=True)) == 1


def test_resume_without_a_checkpoint_starts_from_load_from(config, trained):
    runner = config(load_from=trained[1], resume="auto")
    assert runner._resume is False
    assert differing(loaded(runner), trained[0]) == set()


def test_average_of_weights_starts_from_them(config, trained):
    runner = config(load_from=trained[1], custom_hooks=[dict(type="EMAHook", strict_load=True)])
    runner.call_hook("before_run")
    loaded(runner)
    hook = next(hook for hook in runner.hooks if type(hook).__name__ == "EMAHook")
    assert differing(hook.ema_model.module.state_dict(), trained[0]) == set()


def test_pretrained_mmocr_recognizers_load_strictly(config, trained):
    weights, path = trained
    init_cfg = dict(type="Pretrained", checkpoint=path)
    model = config(model=dict(init_cfg=init_cfg)).model
    model.init_weights()
    assert differing(model.state_dict(), weights) == set()
    del weights["decoder.classifier.bias"]
    torch.save(weights, path)
    with pytest.raises(ValueError, match=r"1 missing \(decoder.classifier.bias"):
        config(model=dict(init_cfg=init_cfg)).model.init_weights()


def test_commands_exit_with_status_2(config, trained, tmp_path, capsys):
    weights, path = trained
    del weights["backbone.cls_token"]
    torch.save(weights, path)
    data = write_data(tmp_path)
    options = [*task_options("textrecog", data), f"load_from={path}"]
    arguments = [str(tmp_path / "tiny.py"), "--work-dir", str(tmp_path / "run"), *options]
    assert training.main(arguments) == 2
    assert "1 missing (backbone.cls_token)" in capsys.readouterr().err
    assert not list((tmp_path / "run").glob("*.pth"))


def test_test_uses_its_checkpoint_and_not_load_from(tmp_path, monkeypatch):
    """The score is that of the named checkpoint, and load_from is not read."""
    monkeypatch.setattr(bundled, "FOLDER", tmp_path)
    config = write_task(tmp_path / "tiny.py", "segmentation")
    cfg = Config.fromfile(config)
    cfg.merge_from_dict(dict(launcher="none", work_dir=str(tmp_path / "work")))
    model = build_runner(cfg).model
    paths = []
    for bias in (-9.0, 9.0):  # nothing is text, everything is
        with torch.no_grad():
            model.decoder.pred.weight.zero_()
            model.decoder.pred.bias.fill_(bias)
        paths.append(tmp_path / f"{bias:.0f}.safetensors")
        write_checkpoint(paths[-1], model.state_dict())
    data = write_data(tmp_path)
    for other, named in ((paths[0], str(paths[1])), (tmp_path / "nowhere.pth", "mms_ocr://9")):
        options = [*task_options("segmentation", data), f"load_from={other}", "resume=True"]
        work = tmp_path / other.stem
        assert testing.main([str(config), named, "--work-dir", str(work), *options]) == 0
        (scores,) = work.rglob("*.json")
        assert json.loads(scores.read_text())["foreground/recall_dataset"] == 1
