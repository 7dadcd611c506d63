"""The study of masking: its plan, its claims and resuming, its probe of context, its tables."""

import json
import math
import subprocess
import sys

import pytest
import torch

from mms_ocr.evaluation.characters import character_patches
from mms_ocr.models import TextViT
from mms_ocr.registry import MODELS, TASK_UTILS

NANO = dict(arch="nano", patch_size=(8, 4), stem="conv")


def test_all_variants_of_the_first_seed_come_first(study):
    chains = study.plan.plan_chains()
    assert [chain.variant for chain in chains[:8]] == list(study.plan.VARIANTS)
    assert [chain.seed for chain in chains] == [0] * 8 + [1] * 5 + [2] * 5
    assert len({chain.name for chain in chains}) == 18
    assert chains[0].steps == ("encoder", "all", "again", "few", "segmentation", "upscaling")
    assert chains[1].steps == ("pretrain", *chains[0].steps)
    assert chains[3].steps == ("pretrain", "encoder", "all", "again", "few")
    only = study.plan.plan_chains(["spans", "joint"])
    assert [chain.name for chain in only] == [
        "joint_seed0",
        "spans_seed0",
        "joint_seed1",
        "joint_seed2",
    ]


def test_variants_have_equal_views_and_steps(study, settings):
    for chain in study.plan.plan_chains()[:9]:
        cfg = study.plan.pretraining_config(chain, settings)
        masks = TASK_UTILS.build(cfg.model.data_preprocessor.mask_generator)
        batch = cfg.train_dataloader.batch_size
        views = masks.views(batch).masks
        assert sum(map(len, views)) == 96, chain
        assert cfg.train_cfg.max_iters == 100
        assert cfg.randomness.seed == chain.seed


@pytest.mark.parametrize(
    ("variant", "removed"),
    [
        ("random", {"random_patch": 96}),
        ("blocks", {"blockwise": 96}),
        ("mixed", {"random_patch": 96, "blockwise": 96, "span": 96}),
        ("mixed_own", {"random_patch": 96, "blockwise": 77, "span": 77}),
        ("joint_contrast", {"random_patch": 96, "blockwise": 96, "span": 96}),
    ],
)
def test_masks_of_a_variant(study, settings, variant, removed):
    cfg = study.plan.pretraining_config(study.plan.Chain(variant, 0), settings)
    views = TASK_UTILS.build(cfg.model.data_preprocessor.mask_generator).views(96)
    seen = {}
    for mask, strategies in zip(views.masks, views.strategies):
        for row, index in zip(mask, strategies.tolist()):
            seen.setdefault(views.names[index], set()).add(int(row.sum()))
    assert seen == {name: {count} for name, count in removed.items()}
    assert MODELS.build(cfg.model).contrast is None or variant == "joint_contrast"


def test_no_test_set_is_trained_on(study):
    plan = study.plan
    trained_on = {*plan.UNLABELLED, *plan.LABELLED, *plan.SHARP, plan.DOCUMENTS}
    assert not trained_on & {*plan.TESTS.values(), plan.DOCUMENTS_TEST}
    assert all(path.split("/")[1].startswith(("train", "unlabelled")) for path in trained_on)


def test_few_words_are_fixed_and_none_is_held_out(study, shared_data):
    settings = study.plan.Settings(str(shared_data), "/words.lmdb", 96, 3200, 100, 1.0)
    chains = [study.plan.Chain(*names) for names in (("none", 0), ("random", 2))]
    few, other = (study.plan.finetuning_config(chain, settings, "few", None) for chain in chains)
    indices = few.train_dataloader.dataset.indices
    assert indices == other.train_dataloader.dataset.indices
    assert len(set(indices)) == 500
    assert few.train_dataloader.dataset.holdout == {"share": 0.03, "part": "train"}
    assert few.train_cfg.max_iters == 100
    assert few.model.decoder.module_loss.letter_case == "lower"
    assert few.randomness.seed == 0
    again = study.plan.finetuning_config(chains[1], settings, "again", None)
    assert again.randomness.seed == 102
    assert again.train_dataloader.dataset.indices is None


def test_claim_lasts_as_long_as_its_processes(study, tmp_path):
    chain = study.plan.Chain("none", 0)
    with study.steps.claim(tmp_path, chain) as lock:
        assert lock is not None
        with study.steps.claim(tmp_path, chain) as second:
            assert second is None
        # As a training that outlives the study that started it.
        child = subprocess.Popen(
            [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[lock]
        )
    with study.steps.claim(tmp_path, chain) as second:
        assert second is None
    child.communicate(b"\n")
    with study.steps.claim(tmp_path, chain) as second:
        assert second is not None


def fake_results(study, monkeypatch, fails=()):
    ran = []

    def run_step(folder, settings, chain, step, lock):
        ran.append((chain.name, step))
        if (chain.name, step) in fails:
            raise KeyboardInterrupt
        place = folder / chain.name / step
        place.mkdir()
        (place / "result.json").write_text("{}")

    monkeypatch.setattr(study.steps, "run_step", run_step)
    return ran


def test_finished_steps_are_not_repeated(study, settings, tmp_path, monkeypatch):
    chains = study.plan.plan_chains(["none", "random"])[:2]
    ran = fake_results(study, monkeypatch, fails=[("random_seed0", "all")])
    assert study.steps.run_next(tmp_path, settings, chains)
    with pytest.raises(KeyboardInterrupt):
        study.steps.run_next(tmp_path, settings, chains)
    assert ran[-1] == ("random_seed0", "all")
    ran = fake_results(study, monkeypatch)
    while study.steps.run_next(tmp_path, settings, chains):
        pass
    assert ran == [("random_seed0", step) for step in chains[1].steps[2:]]


def test_some_steps_come_with_their_pretraining(study, settings, tmp_path, monkeypatch):
    chains = study.plan.plan_chains(["none", "random"])[:2]
    ran = fake_results(study, monkeypatch)
    while study.steps.run_next(tmp_path, settings, chains, ["all"]):
        pass
    assert ran == [("none_seed0", "all"), ("random_seed0", "pretrain"), ("random_seed0", "all")]


def test_claimed_chain_is_skipped(study, settings, tmp_path, monkeypatch):
    chains = study.plan.plan_chains(["random", "none"])[:2]
    ran = fake_results(study, monkeypatch)
    with study.steps.claim(tmp_path, chains[0]):
        assert study.steps.run_next(tmp_path, settings, chains)
        assert {name for name, _ in ran} == {"random_seed0"}
        assert not study.steps.run_next(tmp_path, settings, chains)


def test_settings_of_a_work_folder_stay(study, settings, tmp_path):
    study.steps.check_settings(tmp_path, settings)
    study.steps.check_settings(tmp_path, settings)
    assert [path.name for path in tmp_path.iterdir()] == ["settings.json"]
    other = study.plan.Settings("/data", "/words.lmdb", 9600, 6400, 100, 1.0)
    with pytest.raises(ValueError, match=r"words=3200, and words is 6400"):
        study.steps.check_settings(tmp_path, other)


def made_word(study, text, width=128, height=32, first=16, step=16):
    """A word of noise whose characters are all 12 pixels wide, and 4 apart."""
    boxes = [(first + i * step, 0, 12, height) for i in range(len(text))]
    patches = [character_patches(box, (height, width), (4, 32)) for box in boxes]
    pixels = torch.randint(0, 256, (3, height, width), dtype=torch.uint8)
    return study.probes.Word(text, torch.stack(patches), pixels)


def test_examples_of_context_are_inner_characters(study):
    classes = study.probes.CLASSES.index
    # Beside a hyphen, and at the ends of a word, nothing is asked for.
    words = [made_word(study, text) for text in ("aB-9x", "no")]
    assert study.probes.find_examples(words, (4, 32)) == []
    words = [made_word(study, text) for text in ("Ab9", "abcdefg")]
    examples = study.probes.find_examples(words, (4, 32))
    assert [example.word for example in examples] == [0, 1, 1, 1, 1, 1]
    assert examples[0].label == (classes("b"), classes("a"), classes("9"))
    # The character is on pixels 32 to 44, hence on columns 8 to 10; one more on each side.
    assert examples[0].edges == (6, 12)
    assert examples[0].mask.view(4, 32).all(dim=0).nonzero().flatten().tolist() == [7, 8, 9, 10, 11]
    assert int(examples[0].mask.sum()) == 20


def test_features_of_context_are_those_of_words_one_by_one(study):
    encoder = TextViT(**NANO).eval()
    words = [made_word(study, "abc"), made_word(study, "defg"), made_word(study, "hij", step=20)]
    pixels = study.probes.load_pixels(words)
    examples = study.probes.find_examples(words, encoder.grid)
    features = study.probes.context_features(encoder, words, examples)
    for example, feature in zip(examples, features):
        tokens, visible, _ = encoder(pixels[example.word][None], example.mask[None])
        columns = visible[0] % 32
        parts = [tokens[0, 1:][columns == edge] for edge in example.edges]
        assert all(len(part) == 4 for part in parts)
        expected = torch.cat([part.mean(dim=0) for part in parts])
        assert torch.allclose(feature, expected, atol=1e-5)
        # Nothing of the removed columns is seen.
        changed = pixels[example.word].clone()
        left, right = example.edges
        changed[:, :, 4 * left + 4 : 4 * right] = 9
        assert torch.equal(encoder(changed[None], example.mask[None])[0], tokens)


def test_calibration_gives_the_statistics_of_whole_images(study):
    encoder = TextViT(**NANO).eval()
    words = [made_word(study, "abcd") for _ in range(8)]
    study.probes.calibrate(encoder, words)
    norm = encoder.patch_embed.convs[1]
    before = encoder.patch_embed.convs[0](study.probes.load_pixels(words))
    assert torch.allclose(norm.running_mean, before.mean(dim=(0, 2, 3)), atol=1e-4)
    assert torch.allclose(norm.running_var, before.var(dim=(0, 2, 3)), rtol=1e-3)
    assert not encoder.training
    assert not norm.training


def test_intervals(study):
    half_width = study.tables.half_width
    assert half_width([1.0, 2.0, 3.0], [9, 9, 9]) == pytest.approx(4.303 / math.sqrt(3))
    assert half_width([0.4, 0.6], [9, 9]) == pytest.approx(12.706 * 0.1)
    assert half_width([0.5], [0.02]) == pytest.approx(1.96 * 0.02)
    share = study.probes.estimate_share(0.2, 400)
    assert share == {"value": 0.2, "se": pytest.approx(0.02, rel=0.01)}
    assert study.probes.estimate_share(0.0, 96)["se"] == pytest.approx(math.sqrt(0.02 * 0.98) / 10)
    scipy = pytest.importorskip("scipy.stats")
    for freedom, quantile in study.tables.T_QUANTILES.items():
        assert quantile == pytest.approx(scipy.t.ppf(0.975, freedom), abs=1e-3)


def test_tables_name_what_is_missing(study, settings, tmp_path, capsys):
    study.steps.check_settings(tmp_path, settings)
    for seed, (random, joint) in enumerate([(0.5, 0.6), (0.6, 0.8)]):
        study.write_result(tmp_path, f"random_seed{seed}", "all", mean=random, SVT=random)
        study.write_result(tmp_path, f"joint_seed{seed}", "all", mean=joint)
    study.write_result(tmp_path, "spans_seed0", "few", mean=0.25)
    options = ["--work-dir", str(tmp_path), "--table", "--only", "random", "joint", "spans"]
    assert study.study.study(study.study.parse_args(options)) == 0
    printed = capsys.readouterr().out
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in printed.split("\n")]
    assert ["random patches alone", "0, 1", "", "55.0 ± 63.5", "", "55.0 ± 63.5"] in rows
    assert ["spans alone", "0", "", "", "", "25.0 ± 2.0*"] in rows
    # Differences of 10 and 20 points.
    assert ["joint", "15.0 ± 63.5", "", "", "", ""] in rows
    assert "- joint_seed0: pretrain, encoder, again, few" in printed
    assert "- random_seed2: pretrain, encoder, all, again, few, segmentation, upscaling" in printed
    assert "- joint_seed2: pretrain, encoder, all, again, few" in printed


def test_tables_of_a_results_file_are_those_of_its_folder(study, settings, tmp_path, capsys):
    folder, stored = tmp_path / "work", tmp_path / "results.json"
    study.steps.check_settings(folder, settings)
    for step in ("all", "few"):
        study.write_result(folder, "none_seed0", step, mean=0.25, characters=0.5)
        study.write_result(folder, "random_seed0", step, mean=0.5, characters=0.625)

    def table(*options):
        args = study.study.parse_args([*options, "--table", "--only", "none", "random"])
        assert study.study.study(args) == 0
        return capsys.readouterr().out.split("Missing")[0]

    printed = table("--work-dir", str(folder), "--json", str(stored))
    assert table("--work-dir", str(stored)) == printed
    assert "50.0 ± 2.0*" in printed
    assert json.loads(stored.read_text())["settings"]["data"] == "data"
    with pytest.raises(ValueError, match="is a file of results"):
        study.steps.check_settings(stored, settings)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "give --data and --rendered"),
        (["--data", "nowhere", "--rendered", "words.lmdb"], "no .*nowhere/mlt17_latin"),
        (["--data", "x", "--rendered", "x", "--words", "7"], "--words is 7; give at least 32"),
        (["--data", "x", "--rendered", "x", "--pixel-words", "9"], "--pixel-words is 9"),
        (["--data", "x", "--rendered", "x", "--test-share", "2"], "--test-share is 2.0"),
        (["--table"], "holds no study"),
    ],
)
def test_impossible_options(study, tmp_path, options, message):
    args = study.study.parse_args([*options, "--work-dir", str(tmp_path / "new")])
    with pytest.raises(ValueError, match=message):
        study.study.study(args)


def test_core_hours_are_estimated_from_rates(study, settings, monkeypatch):
    monkeypatch.setattr(study.rates, "measure_step", lambda cfg: 36.0)
    chains = study.plan.plan_chains(["none", "joint", "spans"])
    printed = study.rates.estimate_cost(chains, settings)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in printed.split("\n")]
    # 100 steps of 36 seconds are an hour; 25,600 words of pixels are 400 steps.
    assert ["pretraining, joint (views)", "3", "3", "3.0"] in rows
    assert ["pretraining, spans alone (views)", "3", "1", "1.0"] in rows
    assert ["fine-tuning (words)", "1", "21", "21.0"] in rows
    assert ["segmentor (words)", "2", "3", "12.0"] in rows
    assert ["all", "", "", "49.0"] in rows


@pytest.mark.slow
def test_whole_study_at_tiny_budgets(repository, shared_data, tmp_path):
    def run(*command):
        done = subprocess.run(
            [sys.executable, *map(str, command)],
            cwd=repository,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    words = tmp_path / "words.lmdb"
    run(
        *("-m", "mms_ocr.cli.main", "render", "--count", 64, "--out", words),
        *("--extras", "char_boxes"),
    )
    printed = run(
        *("projects/studies/masking/study.py", "--data", shared_data, "--rendered", words),
        *("--work-dir", tmp_path / "work", "--views", 192, "--words", 64, "--probe-words", 100),
        *("--only", "spans", "--test-share", 0.02),
    )
    assert "Nothing is missing." in printed
    assert (tmp_path / "work" / "spans_seed0" / "few" / "result.json").is_file()
