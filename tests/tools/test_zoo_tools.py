"""Bundling weights, and measuring their scores again."""

import gzip
import hashlib

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mms_ocr.apis import zoo
from mms_ocr.apis.bundled_configs import find_config
from mms_ocr.apis.trained_models import build_trained
from mms_ocr.models.weights import read_checkpoint
from mms_ocr.registry import MODELS
from mms_ocr.utils import bundled

FACTS = [
    *("--config", "segmentation/mms_vit_n_seg_rendered"),
    *("--command", "tools/train.py /home/me/a/b.py"),
    *("--data", "rendered words", "crops", "--terms", "research only", "--machine", "2 cores"),
]


@pytest.fixture
def tools(tool, repository, monkeypatch, tmp_path):
    """Both tools with an empty zoo."""
    monkeypatch.setattr(bundled, "FOLDER", tmp_path / "zoo")
    monkeypatch.setattr(zoo, "metafile", lambda part: tmp_path / "zoo" / f"{part}.yml")
    modules = [tool("model_converters/bundle.py"), tool("zoo_check.py")]
    for module in modules:
        monkeypatch.setattr(module, "ROOT", tmp_path)
    (tmp_path / "configs").symlink_to(repository / "configs")
    return modules


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """Checkpoint and log of a run of a nano segmentor."""
    folder = tmp_path_factory.mktemp("run")
    cfg = Config.fromfile(find_config("mms_vit_n_seg_rendered", "segmentation"))
    with DefaultScope.overwrite_default_scope("mms_ocr"):
        model = MODELS.build(cfg.model)
    checkpoint = dict(state_dict=model.state_dict(), optimizer={}, meta=dict(iter=9))
    torch.save(checkpoint, folder / "iter_9.pth")
    (folder / "run.log").write_text("reads /srv/secret/data/words.jsonl\nloss 1/2\n")
    return folder


def test_bundling_and_checking(tools, run_folder, tmp_path, capsys, monkeypatch):
    bundle, check = tools
    checkpoint, log = run_folder / "iter_9.pth", run_folder / "run.log"
    assert bundle.main(["seg", str(checkpoint), "--log", str(log), *FACTS]) == 0
    data = bundled.bundled_file("seg").read_bytes()
    stored, source = read_checkpoint("mms_ocr://seg"), read_checkpoint(checkpoint)["state_dict"]
    assert stored["meta"] == {"part": "all", "experiment_name": "mms_vit_n_seg_rendered"}
    assert all(torch.equal(stored["state_dict"][key].float(), value.half().float())
               for key, value in source.items())  # fmt: skip
    entry = zoo.read_zoo()["seg"]
    facts = entry["Metadata"]
    assert facts["SHA256"] == hashlib.sha256(data).hexdigest()
    assert facts["File Size"] == len(data) < 0.6 * checkpoint.stat().st_size
    trained = sum(v.numel() for k, v in source.items() if "running" not in k and "num_b" not in k)
    assert facts["Parameters"] == trained
    assert facts["Training Command"] == "tools/train.py …/a/b.py"
    assert facts["Training Data"] == ["rendered words", "crops"]
    assert entry["Results"][0]["Metrics"] == {"iou_dataset": None}
    text = gzip.decompress((tmp_path / facts["Training Log"]).read_bytes()).decode()
    assert text == "reads …/data/words.jsonl\nloss 1/2\n"

    calls = []

    def measure(arguments):
        calls.append(arguments)
        return {"foreground/iou_dataset": 0.81234567, "foreground/images": 3.0}

    monkeypatch.setattr(check, "run_test", measure)
    assert check.main([]) == 1
    assert "iou_dataset is 0.8123, but the metafile has none" in capsys.readouterr().out
    assert check.main(["--write"]) == 0
    assert calls[0] == ["configs/segmentation/mms_vit_n_seg_rendered.py", "mms_ocr://seg"]
    assert zoo.read_zoo()["seg"]["Results"][0]["Metrics"] == {"iou_dataset": 0.8123}
    assert check.main([]) == 0

    monkeypatch.setattr(check, "run_test", lambda arguments: {"foreground/iou_dataset": 0.809})
    assert check.main(["seg"]) == 1
    out = capsys.readouterr().out
    assert "seg, rendered words, 3 unseen families" in out
    assert "iou_dataset is 0.8090, but 0.8123 in the metafile" in out
    monkeypatch.setattr(check, "run_test", measure)
    (bundled.FOLDER / "other.safetensors").write_bytes(b"x")
    bundled.bundled_file("seg").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    (tmp_path / facts["Training Log"]).unlink()
    assert check.main([]) == 1
    out = capsys.readouterr().out
    assert "seg: the SHA-256 differs from that in the metafile" in out
    assert "seg.log.gz is missing" in out
    assert "other: the metafile does not describe it" in out
    (bundled.FOLDER / "other.safetensors").unlink()

    # Bundling again keeps the metadata, and resets the scores.
    assert bundle.main(["seg", str(checkpoint), "--machine", "a GPU"]) == 0
    again = zoo.read_zoo()["seg"]
    assert again["Metadata"]["SHA256"] == facts["SHA256"]
    assert again["Metadata"]["Machine"] == "a GPU"
    assert again["Results"][0]["Metrics"] == {"iou_dataset": None}


def test_bundled_weights_match_their_metafile(tool):
    check = tool("zoo_check.py")
    entries = zoo.read_zoo()
    for name in {*entries, *bundled.bundled_names()}:
        assert check.check_file(name, entries.get(name)) == []
        if entries[name]["Metadata"]["Part"] == "all":
            config = entries[name]["Config"].removeprefix("configs/")
            build_trained(Config.fromfile(find_config(config)), f"mms_ocr://{name}", "cpu")
    assert check.check_total() == []


def test_missing_test_sets_are_reported(tools, tmp_path):
    _, check = tools
    (tmp_path / "a.jsonl").touch()
    result = dict(Metrics={"m": 0.5}, Arguments="c.py w --data {data}/a.jsonl b={data}/b.jsonl")
    reason = check.measure(result, str(tmp_path), write=True)
    assert reason == f"not measured: there is no {tmp_path}/b.jsonl"
    assert result["Metrics"] == {"m": 0.5}


@pytest.mark.parametrize(
    ("measured", "expected"),
    [
        ({"PSNR": 1.0, "a/PSNR": 2.0}, 1.0),
        ({"a/PSNR": 2.0, "mean/PSNR": 2.0}, 2.0),
        ({"a/PSNR": 2.0, "b/PSNR": 3.0}, None),
        ({"a/xPSNR": 2.0}, None),
    ],
)
def test_scores_are_found_by_suffix(tools, measured, expected):
    assert tools[1].find_score(measured, "PSNR") == expected


def test_invalid_bundles_are_refused(tools, run_folder, tmp_path, capsys, monkeypatch):
    bundle, _ = tools
    checkpoint, log = str(run_folder / "iter_9.pth"), str(run_folder / "run.log")
    monkeypatch.setattr(bundle, "MAX_FILE", 1)
    wrong_config = ["--log", log, *FACTS]
    wrong_config[1 + wrong_config.index("--config")] = "mms_vit_s"
    calls = [
        (["Seg", checkpoint], "the name 'Seg'"),
        (["seg", checkpoint, "--config", FACTS[1]], "give --log, --command, --data, --terms, --m"),
        (["seg", "absent.pth", "--log", log, *FACTS], "no checkpoint absent.pth"),
        (["seg", checkpoint, "--log", log, *FACTS], "and a bundled file at most 1"),
        (["seg", checkpoint, *wrong_config], "no config 'mms_vit_s'"),
        (["seg", checkpoint, *wrong_config, "--config", "mms_vit_s_seg_textseg"], "does not fit"),
    ]
    for arguments, message in calls:
        assert bundle.main(arguments) == 2
        assert message in capsys.readouterr().err.splitlines()[-1]
    monkeypatch.setattr(bundle, "MAX_FILE", 16)
    monkeypatch.setattr(bundle, "MAX_TOTAL", 1)
    assert bundle.main(["seg", checkpoint, "--log", log, *FACTS]) == 2
    assert "with seg, all files have" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["configs"]


def test_auxiliary_head_is_not_bundled(tools, run_folder, tmp_path):
    pytest.importorskip("mmocr")
    bundle, _ = tools
    config = find_config("mms_vit_n_ar_words", "textrecog")
    with DefaultScope.overwrite_default_scope("mms_ocr"):
        model = MODELS.build(Config.fromfile(config).model)
    weights = model.state_dict()
    assert any(".auxiliary." in key for key in weights)
    torch.save({"state_dict": weights}, tmp_path / "ar.pth")
    facts = ["--log", str(run_folder / "run.log"), *FACTS, "--config", "mms_vit_n_ar_words"]
    assert bundle.main(["reader", str(tmp_path / "ar.pth"), *facts]) == 0
    kept = read_checkpoint("mms_ocr://reader")["state_dict"]
    assert kept.keys() == {key for key in weights if ".auxiliary." not in key}
    entry = zoo.read_zoo()["reader"]
    assert entry["Metadata"]["Parameters"] == sum(
        value.numel() for key, value in model.named_parameters() if ".auxiliary." not in key
    )
    assert [result["Dataset"] for result in entry["Results"]][:2] == ["IIIT5K", "SVT"]


def test_an_encoder_alone(tools, run_folder):
    bundle, _ = tools
    log = ["--log", str(run_folder / "run.log")]
    facts = [*FACTS, "--config", "mms/pretrain_vit_n"]
    checkpoint = str(run_folder / "iter_9.pth")
    assert bundle.main(["enc", checkpoint, *log, *facts, "--part", "encoder"]) == 0
    stored, source = read_checkpoint("mms_ocr://enc"), read_checkpoint(checkpoint)["state_dict"]
    expected = {key[9:] for key in source if key.startswith("backbone.")}
    assert stored["state_dict"].keys() == expected
    assert stored["state_dict"]._metadata[""]["grid"] == [4, 32]
    entry = zoo.read_zoo()["enc"]
    assert zoo.task_of(entry) == "encoder"
    assert entry["Results"] == []
