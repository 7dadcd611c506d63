"""Order, lengths and resuming of the stages; the programs are replaced by a stand-in."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from mms_ocr.apis.adaptation import stages as module
from mms_ocr.apis.adaptation.configs import Start
from mms_ocr.apis.adaptation.running import Bar, StoppedError
from mms_ocr.apis.adaptation.stages import Stages, check_hours
from mms_ocr.apis.adaptation.state import State
from mms_ocr.utils.config_files import read_config_file

PATH = "/x y/l'été \"😀\\ {a}\n\udcff/iter_5.pth"
START = Start("mms_ocr://mms_vit_n", "mms/pretrain_vit_n.py", "mms_ocr://mms_vit_n_ar", "nano")
STEP = {"pretrain": 0.4, "finetune": 0.8, "finetune_plain": 0.8}


class Machine:
    """Runs programs in no time, on a clock of its own; ``speed`` changes how long steps take."""

    def __init__(self, folder: Path, monkeypatch) -> None:
        self.folder, self.now, self.speed, self.calls = folder, 0.0, 1.0, []
        self.stop_at: str | None = None
        monkeypatch.setattr(module, "run", self.run)
        monkeypatch.setattr(State, "seconds", property(lambda state: self.now))

    def run(self, command, state, log, show, limit=None, lock=None) -> None:
        name = log.stem
        self.calls.append(name)
        assert ("--resume" in command) == name.startswith(("pretrain", "finetune"))
        if name == self.stop_at:
            raise StoppedError
        if name.startswith("test_"):
            self.now += 20
            return
        config = Path(command[2]).stem
        folder = self.folder / command[command.index("--work-dir") + 1]
        text = (self.folder / f"{config}.py").read_text()
        cfg = re.search(r"train_cfg = dict\(max_iters=(\w+)", text)[1]
        iterations = int(re.search(r"^max_iters = (\d+)", text, re.M)[1])
        iterations = iterations if cfg == "max_iters" else int(cfg)
        step = STEP[config] / self.speed
        start = 24 + 6 * (1 if "--cfg-options" in command else 5)  # with the validations
        done = min(iterations, int((limit - start) / step)) if limit else iterations
        rows = [dict(time=step, loss=1.0, iter=i + 1) for i in range(min(done, 24))]
        rows.append({"step": done, "time": 2.0, "recog/word_acc": 0.5})
        (folder / "1" / "vis_data").mkdir(parents=True)
        scalars = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / "1" / "vis_data" / "scalars.json").write_text(scalars)
        (folder / "last_checkpoint").write_text(f"/elsewhere/{folder.name}/iter_{done}.pth")
        log.write_bytes(b"Iter(val) [3/3]\n")
        self.now += start + done * step


@pytest.fixture
def machine(tmp_path, monkeypatch):
    folder = tmp_path / "out"
    (folder / "data").mkdir(parents=True)
    (folder / "runs").mkdir()
    (folder / "data" / "words.txt").write_text("TOTAL\n漢字\nCash\n")
    (folder / "characters.txt").write_text("\n".join("abcTOALCsh漢"))
    return Machine(folder, monkeypatch)


def make(machine, hours=1.0, compare=None) -> Stages:
    state = State(machine.folder, {})
    return Stages(state, Bar(state, hours * 3600, False), START, hours, compare, 0, None)


def run_all(stages: Stages) -> None:
    stages.test("bundled", "mms_ocr://mms_vit_n_ar")
    lengths = stages.plan(5000)
    stages.train("pretrain", lengths.pretrain)
    lengths = stages.replan(lengths)
    names = ["finetune_plain", "finetune"] if lengths.finetune_plain else ["finetune"]
    for name in names:
        stages.train(name, lengths.finetune, is_last=name == names[-1])
    for name in names:
        stages.test(name, stages.state.get(name)["checkpoint"])


@pytest.mark.parametrize("speed", [0.7, 1.0, 2.0])
@pytest.mark.parametrize("hours", [0.5, 2])
def test_time_is_kept_where_the_machine_changes_its_speed(machine, hours, speed):
    stages = make(machine, hours)
    stages.test("bundled", "x")
    stages.plan(5000)
    machine.speed = speed
    run_all(stages)
    # 4 starts of 54 s are left for the reader and the report.
    assert machine.now == pytest.approx(hours * 3600 - 216, rel=0.07)
    assert machine.calls[-1] == "test_finetune"
    results = [stages.state.get(name) for name in ("finetune", "finetune_plain")]
    assert results[0]["iterations"] == results[1]["iterations"] == results[0]["planned"]


def test_last_training_is_stopped_at_the_end_of_the_time(machine):
    stages = make(machine)
    stages.test("bundled", "x")
    lengths = stages.plan(5000)
    stages.train("pretrain", lengths.pretrain)
    lengths = stages.replan(lengths)
    stages.train("finetune_plain", lengths.finetune)
    machine.speed = 0.5
    result = stages.train("finetune", lengths.finetune, is_last=True)
    assert result["iterations"] < result["planned"] == lengths.finetune
    assert result["checkpoint"] == f"runs/finetune/iter_{result['iterations']}.pth"
    # The command that is shown trains again, and does not resume the finished run.
    assert result["command"].endswith("train.py finetune.py --work-dir runs/finetune")
    assert machine.now + 40 + 216 < 1.08 * 3600


def test_pace_after_a_stopped_pretraining_is_that_of_its_iterations(machine):
    stages = make(machine)
    stages.test("bundled", "x")
    lengths = stages.plan(5000)
    machine.speed = 0.4
    done = stages.train("pretrain", lengths.pretrain)
    assert done["iterations"] < lengths.pretrain
    run_all(stages)
    assert machine.now == pytest.approx(3600 - 216, rel=0.05)
    results = [stages.state.get(name) for name in ("finetune", "finetune_plain")]
    assert [each["iterations"] for each in results] == [each["planned"] for each in results]


def test_training_starts_also_where_the_time_is_over(machine):
    stages = make(machine)
    stages.test("bundled", "x")
    lengths = stages.plan(5000)
    stages.train("pretrain", lengths.pretrain)
    machine.now = 2 * 3600
    result = stages.train("finetune", lengths.finetune, is_last=True)
    assert 50 < result["iterations"] <= 100


def test_more_gpus_than_cores_leave_no_loader_workers(machine, monkeypatch):
    monkeypatch.setattr(module, "usable_cores", lambda: 4)
    stages = make(machine)
    for gpus, workers in ((0, 3), (2, 1), (4, 0), (8, 0)):
        stages.gpus = gpus
        assert stages._workers() == workers


def test_fine_tunings_are_stopped_alike(machine):
    stages = make(machine)
    stages.test("bundled", "x")
    lengths = stages.plan(5000)
    stages.train("pretrain", lengths.pretrain)
    machine.speed = 0.5
    first = stages.train("finetune_plain", lengths.finetune)
    machine.speed = 1.0
    second = stages.train("finetune", lengths.finetune, is_last=True)
    assert first["iterations"] == second["iterations"] < lengths.finetune
    cfg = read_config_file(str(machine.folder / "finetune.py"))
    assert cfg.train_cfg.max_iters == first["iterations"]
    assert cfg.param_scheduler[1].end == lengths.finetune


def test_too_short_a_time_is_refused_with_the_shortest(machine):
    stages = make(machine, 0.1, compare=True)
    stages.test("bundled", "x")
    with pytest.raises(ValueError, match=r"--hours 0\.1 .* at least \d\.\d+ or --no-compare") as e:
        stages.plan(5000)
    hours = float(re.search(r"at least ([\d.]+)", str(e.value))[1])
    machine.now = 0  # the clock starts anew
    longer = make(machine, hours, compare=True)
    assert longer.plan(5000).finetune_plain >= 200


def test_steps_are_timed_again_after_a_refusal(machine):
    stages = make(machine, 0.3)
    machine.speed = 0.2
    stages.test("bundled", "x")
    with pytest.raises(ValueError, match="too short"):
        stages.plan(5000)
    machine.speed, machine.now = 1.0, 0.0
    stages = make(machine, 0.3)
    assert stages.plan(5000).finetune >= 200
    assert machine.calls == ["test_bundled", *["pace_pretrain", "pace_finetune"] * 2]


def test_comparison_is_left_out_where_there_is_no_time_for_it(machine):
    stages = make(machine, 0.22)
    stages.test("bundled", "x")
    lengths = stages.plan(5000)
    assert lengths.finetune >= 200
    assert lengths.finetune_plain == 0
    run_all(stages)
    # The config of the timed steps is none to run again.
    assert not (machine.folder / "finetune_plain.py").exists()
    assert (machine.folder / "finetune.py").exists()


@pytest.mark.parametrize("compare", [None, False])
def test_comparison_is_made_after_all_where_the_machine_becomes_faster(machine, compare):
    stages = make(machine, 0.22, compare)
    stages.test("bundled", "x")
    lengths = stages.plan(5000)
    assert lengths.finetune_plain == 0
    machine.speed = 3.0
    stages.train("pretrain", lengths.pretrain)
    again = stages.replan(lengths)
    assert again.finetune >= 200
    assert again.finetune_plain == (0 if compare is False else again.finetune)


@pytest.mark.parametrize("stage", ["test_bundled", "pace_finetune", "pretrain", "finetune"])
def test_a_stopped_stage_is_run_again_and_finished_ones_are_not(machine, stage):
    machine.stop_at = stage
    with pytest.raises(StoppedError):
        run_all(make(machine))
    before, machine.calls, machine.stop_at = machine.calls, [], None
    run_all(make(machine))
    assert machine.calls[0] == stage == before[-1]
    finished = before[:-1] + machine.calls
    assert len(finished) == len(set(finished)) == 8
    machine.calls = []
    run_all(make(machine))
    assert machine.calls == []


def test_hours_are_fixed_once_lengths_are_chosen(machine):
    stages = make(machine, 1)
    stages.test("bundled", "x")
    stages.plan(5000)
    check_hours(stages.state, 1)
    with pytest.raises(ValueError, match="1 hours, and --hours is 2"):
        check_hours(stages.state, 2)


def test_configs_say_what_was_chosen(machine):
    run_all(make(machine))
    folder = machine.folder
    pretraining, plain, tuned = (
        read_config_file(str(folder / f"{name}.py"))
        for name in ("pretrain", "finetune_plain", "finetune")
    )
    lengths = [cfg.train_cfg.max_iters for cfg in (pretraining, plain, tuned)]
    planned = [json.loads((folder / "adapt.json").read_text())["stages"][name]["planned"]
               for name in ("pretrain", "finetune_plain", "finetune")]  # fmt: skip
    assert lengths == planned
    assert pretraining.load_from == "mms_ocr://mms_vit_n"
    assert pretraining.train_dataloader.dataset.path == [
        "data/unlabelled.lmdb",
        "data/labelled.lmdb",
    ]
    assert pretraining.train_dataloader.dataset.holdout.part == "train"
    assert [scheduler.end for scheduler in pretraining.param_scheduler] == [
        max(1, lengths[0] // 10), lengths[0],
    ]  # fmt: skip
    assert "shift" not in plain.model.init_cfg
    assert tuned.model.init_cfg.shift.after == f"runs/pretrain/iter_{lengths[0]}.pth"
    for cfg in (plain, tuned):
        assert cfg.model.decoder.dictionary.dict_file == str(folder / "characters.txt")
        assert cfg.model.decoder.type == "mms_ocr.TextDecoder"
        assert cfg.model.decoder.auxiliary is None
        labelled, rendered, own = cfg.train_dataloader.dataset.datasets
        assert labelled.path == "data/labelled.lmdb"
        assert "words" not in rendered
        assert own.words == "data/drawn_words.txt"
    # The bundled fonts draw no Chinese characters.
    assert (folder / "data" / "drawn_words.txt").read_text() == "TOTAL\nCash\n"


def test_start_without_a_reader_loads_the_encoder(machine, monkeypatch):
    stages = make(machine)
    start = Start(PATH, "mms/pretrain_vit_s.py", None, "small")
    stages.start = start
    run_all(stages)
    cfg = read_config_file(str(machine.folder / "finetune.py"))
    assert cfg.model.backbone.arch == "small"
    assert cfg.model.backbone.init_cfg.checkpoint.startswith("runs/pretrain/iter_")
    assert cfg.model.get("init_cfg") is None
    assert cfg.model.decoder.type == "mms_ocr.CTCDecoder"
    plain = read_config_file(str(machine.folder / "finetune_plain.py"))
    assert plain.model.backbone.init_cfg.checkpoint == PATH
    assert read_config_file(str(machine.folder / "pretrain.py")).load_from == PATH
    assert cfg.optim_wrapper.optimizer.lr < 6e-4
