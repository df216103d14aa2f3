"""A user's function as Tune drives it: what it sees, what it may return, how it ends, and what it goes on from."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from trainables.functions.errors import UserError
from trainables.saving.export import encoder_file
from trainables.saving.kept import is_kept, read_kept
from trainables.saving.place import Place
from trainables.spec import ReplicateResult
from trainables.trainer import TimedOutError, forget

ROOT = Path(__file__).parents[3]


def test_it_sees_what_the_study_asks_for(trials, write):
    code = write("""
        import json
        from pathlib import Path
        def train(trial):
            seen = {
                "strength": trial.strength, "strengths": dict(trial.strengths), "seed": trial.seed,
                "split": trial.split, "phase": trial.phase, "replicate": trial.replicate, "device": trial.device,
                "hyperparameters": dict(trial.hyperparameters), "options": dict(trial.options), "pair": trial.pair,
                "files": [path.name for path in trial.folder.iterdir()],
            }
            Path(trial.options["seen"]).write_text(json.dumps(seen))
            return {"image": 0.5, "text": 0.25}
    """)
    seen = Path(trials.place).with_name("seen.json")
    result = trials.result(
        code,
        options={"seen": str(seen)},
        phase="confirm",
        evaluate="test",
        hyperparameters={"layers": 3, "norm": "batch"},
    )
    assert json.loads(seen.read_text()) == {
        "strength": 0.5, "strengths": {"image": 0.5, "text": 0.5}, "seed": 7, "split": "test", "phase": "confirm",
        "replicate": 2, "device": "cuda" if torch.cuda.is_available() else "cpu",
        "hyperparameters": {"layers": 3, "norm": "batch"}, "options": {"seen": str(seen)}, "pair": ["image", "text"],
        "files": [],
    }  # fmt: skip
    assert (result.status, result.scores, result.curve, result.extras) == ("ok", (0.5, 0.25), (), {})


@pytest.mark.parametrize(
    ("returned", "scores"),
    [
        ('{"image": 1, "text": 0.5}', (1, 0.5)),
        ('{"image": np.float32(0.5), "text": np.array(0.25)}', (0.5, 0.25)),
        ('{"image": torch.tensor([0.5], requires_grad=True), "text": torch.tensor(2)}', (0.5, 2)),
        ('{"image": np.array([[0.5]]), "text": fractions.Fraction(1, 4)}', (0.5, 0.25)),
        ('{"score": 0.75}', (0.75, 0.75)),
        ('types.MappingProxyType({"image": 0.5, "text": 0.5})', (0.5, 0.5)),
    ],
)
def test_numbers_of_every_kind_are_scores(trials, write, returned, scores):
    result = trials.result(write(f"import types, fractions, numpy as np, torch\ndef train(trial): return {returned}"))
    assert (result.status, result.scores) == ("ok", scores)
    assert result.one_score == ("score" in returned)


@pytest.mark.parametrize(
    "odd", ['float("nan")', 'float("inf")', "10**400", "1.7e308", "-1e101", "np.nan", "torch.tensor(float('nan'))"]
)
def test_what_is_not_finite_has_diverged(trials, write, odd):
    result = trials.result(
        write(f'import numpy as np, torch\ndef train(trial): return {{"image": {odd}, "text": 0.5}}')
    )
    assert result.status == "diverged"
    assert all(map(math.isnan, result.scores))


@pytest.mark.parametrize(
    ("returned", "told"),
    [
        (
            "None",
            'returned None; return scores by name, such as {"image": 0.9, "text": 0.8}, or {"score": 0.9} for both',
        ),
        ("0.5", "returned 0.5 (float); return scores by name"),
        ("[0.5, 0.5]", "returned [0.5, 0.5] (list); return scores by name"),
        ('{"image": 0.5}', "returned image, without a score of text; return"),
        ("{}", "returned nothing, without a score of image and of text; return"),
        ('{"image": 0.5, "txet": 0.5}', "without a score of text; is txet that of text? return"),
        ('{"image": 0.5, "text": "0.5"}', "returned text as '0.5' (str); it must be a number"),
        ('{"image": 0.5, "text": True}', "returned text as True; it must be a number"),
        ('{"image": 0.5, "text": None}', "returned text as None; it must be a number"),
        ('{"image": 0.5, "text": np.bool_(True)}', "returned text as True; it must be a number"),
        ('{"image": 0.5, "text": 1j}', "returned text as 1j (complex); it must be a number"),
        ('{"image": 0.5, "text": np.zeros(3)}', "returned text of shape (3,); it must be one number"),
        ('{"image": 0.5, "text": torch.zeros(0)}', "returned text of shape (0,); it must be one number"),
        ('{"image": 0.5, "text": 0.5, 3: 0.5}', "a name that is 3 (int); names are text"),
        ('{"image": 0.5, "text": 0.5, "note": "good"}', "returned note as 'good' (str); it must be a number"),
    ],
)
def test_what_is_no_score_is_refused_in_one_line(trials, write, returned, told):
    progress = trials.last(write(f"import numpy as np, torch\ndef train(trial): return {returned}"))
    assert told in progress["refused"]
    assert progress["refused"].startswith("own_")
    assert "\n" not in progress["refused"]
    assert "results" not in progress


def test_losses_are_turned_and_other_numbers_are_not(trials, write):
    code = write("""
        def train(trial):
            trial.report(1, scores={"image": 3, "text": 4})
            return {"image": 1, "text": 2.5, "cka": 0.25, "recall@1": float("nan"), "gap": None}
    """)
    result = trials.result(code, maximise=False)
    assert (result.scores, result.extras, result.curve[0][:3]) == ((-1, -2.5), {"cka": 0.25}, (1, -3, -4))


def test_one_score_besides_both_is_another_number(trials, write):
    result = trials.result(write('def train(trial): return {"image": 1, "text": 2, "score": 3}'))
    assert (result.scores, result.extras, result.one_score) == ((1, 2), {"score": 3}, False)


def test_reports_are_progress_and_learning_curve(trials, write):
    code = write("""
        import time
        def train(trial):
            for epoch in range(3):
                trial.report(epoch + 1, of=3, scores={"image": epoch / 10, "text": epoch / 5})
            go = trial.folder / "go"
            while not go.exists():
                time.sleep(0.01)
            return {"image": 1, "text": 1}
    """)
    trial = trials.begin(code)
    progress = trial.step()
    assert (progress["epochs"], progress["total"], progress["done"]) == (3, 3, False)
    (folder,) = Path(trials.place).glob("*/*/")
    (folder / "go").touch()
    (result,) = json.loads(trial.step()["results"])
    assert result["curve"] == [[1, 0, 0, None, None], [2, 0.1, 0.2, None, None], [3, 0.2, 0.4, None, None]]


def test_odd_reports_are_harmless(trials, write, capfd):
    code = write("""
        import numpy as np
        def train(trial):
            print("printed", flush=True)
            trial.report(2, scores={"image": 0.2, "text": 0.2, "loss": 5})
            trial.report(2, scores={"image": 0.3})
            trial.report(np.int64(1), of=np.int32(9), scores={"score": 0.1})
            trial.report(1.5)
            trial.report(-3)
            trial.report(99, of=2)
            trial.report(99, scores={"text": float("nan")})
            trial.report(99, scores={})
            return {"image": 1, "text": 1}
    """)
    result = trials.result(code)
    assert result.status == "ok"
    told = [[None if math.isnan(value) else value for value in point[:3]] for point in result.curve]
    assert told == [[1, 0.1, 0.1], [2, 0.3, None], [99, None, None]]
    assert "printed" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ('trial.report("1")', "trial.report was given epoch='1'; it must be a finite number"),
        ("trial.report(1, of=float('inf'))", "trial.report was given of=inf; it must be a finite number"),
        ("trial.report(1, scores=0.5)", "trial.report was given scores=0.5 (float); give scores by name"),
        ('trial.report(1, scores={"img": 1})', "trial.report was given scores of img; the encoders are image and text"),
        ('trial.report(1, scores={"image": "1"})', "trial.report was given image as '1' (str); it must be a number"),
        ('trial.keep("img", None)', "trial.keep was given 'img'; the encoders are 'image' and 'text'"),
        ("trial.strength", "trial.strength was read where the encoders' strengths differ (image 0.5 and text 0)"),
    ],
)
def test_a_wrong_use_of_the_trial_is_told_with_its_line(trials, write, call, told):
    progress = trials.last(write(f"def train(trial):\n    {call}\n    return {{}}"), strength_2=0.0)
    assert told in progress["refused"]
    assert progress["refused"].endswith(", line 2, in train)")


def test_strengths_are_read_by_name_where_they_differ(trials, write):
    code = write('def train(trial): return {"image": trial.strengths["image"], "text": trial.strengths["text"]}')
    assert trials.result(code, strength_1=0.25, strength_2=0.0).scores == (0.25, 0)


def test_a_name_that_is_not_there_says_which_are(trials, write):
    code = write('def train(trial): return {"score": trial.hyperparameters["lr"]}')
    with pytest.raises(UserError, match="no hyperparameter 'lr'; the study has 'learning_rate'"):
        trials.last(code, hyperparameters={"learning_rate": 0.1})


def test_an_exception_is_shown_with_his_own_lines_alone(trials, write):
    code = write("""
        import torch

        def loss(x):
            return torch.nn.functional.linear(x, torch.zeros(3, 4))

        def train(trial):
            try:
                return {"score": loss(torch.zeros(2, 5))}
            except RuntimeError as error:
                raise ValueError("the loss\\nbroke") from error
    """)
    with pytest.raises(UserError) as caught:
        trials.last(code)
    name = f"{code.module}.py"
    assert str(caught.value) == f"ValueError: the loss broke ({name}, line 11, in train)"
    lines = caught.value.lines.splitlines()
    assert "return torch.nn.functional.linear(x, torch.zeros(3, 4))" in caught.value.lines
    assert [line for line in lines if line.startswith("  File")] == [
        f'  File "{code.root}/{name}", line {line}, in {where}'
        for line, where in ((9, "train"), (5, "loss"), (11, "train"))
    ]
    assert lines[-2:] == ["ValueError: the loss", "broke"]


@pytest.mark.parametrize(
    ("ending", "told"), [("sys.exit(3)", "SystemExit: 3"), ("raise KeyboardInterrupt", "Keyboard")]
)
def test_whatever_ends_his_function_is_an_error_of_it(trials, write, ending, told):
    with pytest.raises(UserError, match=told):
        trials.last(write(f"import sys\ndef train(trial):\n    {ending}"))


def test_a_call_that_failed_goes_on_from_its_folder(trials, write):
    code = write("""
        def train(trial):
            saved = trial.folder / "deep" / "epoch"
            start = int(saved.read_text()) if saved.exists() else 0
            for epoch in range(start, 3):
                saved.parent.mkdir(exist_ok=True)
                saved.write_text(str(epoch + 1))
                trial.report(epoch + 1, of=3, scores={"score": epoch + 1})
                if epoch == 1 and start == 0:
                    raise OSError("lost")
            return {"score": start}
    """)
    with pytest.raises(UserError, match="OSError: lost"):
        trials.last(code)
    assert trials.result(code).scores == (2, 2)


def test_other_code_begins_with_an_empty_folder(trials, write):
    text = """
        def train(trial):
            there = len(list(trial.folder.iterdir()))
            (trial.folder / str(there)).touch()
            raise OSError(f"there are {there}")
    """
    for changed, there in (("", 0), ("", 1), ("    # changed", 0), ("    # changed", 1), ("", 2)):
        with pytest.raises(UserError, match=f"there are {there}"):
            trials.last(write(text + changed))


def test_no_two_trials_share_a_folder_and_it_goes_when_the_result_is_on_record(trials, write):
    code = write("""
        def train(trial):
            there = [path.name for path in trial.folder.iterdir()]
            (trial.folder / "mine").touch()
            return {"score": len(there)}
    """)
    for change in ({}, {"seed": 8}, {"strength_1": 0.0, "strength_2": 0.0}, {"hyperparameters": {"x": 1}},
                   {"phase": "confirm"}, {"replicate": 3}):  # fmt: skip
        assert trials.result(code, **change).scores == (0, 0)
    place = Path(trials.place)
    names = {path.name for path in place.iterdir() if path.is_dir()}
    assert len(names) == 6
    for name in names:
        forget(Place(trials.place), name)
    assert list(place.iterdir()) == []


def test_what_returned_is_not_called_again(trials, write):
    code = write("""
        def train(trial):
            calls = trial.folder / "calls"
            calls.write_text(calls.read_text() + "x" if calls.exists() else "x")
            return {"score": len(calls.read_text()), "cka": 0.5}
    """)
    first = trials.result(code)
    again = trials.result(code)
    assert first.scores == again.scores == (1, 1)
    assert again.extras == {"cka": 0.5}


def test_nothing_of_a_call_stays_in_memory(trials, write):
    """Not even what refers to itself, as a trainer and its callbacks do; nor what a traceback holds."""
    code = write("""
        import weakref
        CALLS = []
        class Model: pass
        def train(trial):
            alive = sum(call() is not None for call in CALLS)
            model = Model()
            model.trainer = model
            CALLS.append(weakref.ref(model))
            if trial.options:
                raise ValueError(f"{alive} are alive")
            return {"score": alive}
    """)
    for seed in range(2):
        assert trials.result(code, seed=seed).scores == (0, 0)
        with pytest.raises(UserError, match="0 are alive"):
            trials.last(code, seed=seed, options={"fails": True})


def test_global_generators_begin_with_the_seed(trials, write):
    code = write("""
        import random, numpy as np, torch
        def train(trial):
            return {"image": random.random() + np.random.rand(), "text": torch.rand(())}
    """)
    seven, eight = trials.result(code, replicate=0), trials.result(code, seed=8)
    assert trials.result(code, replicate=1).scores == seven.scores
    assert eight.scores != seven.scores


def test_a_call_that_hangs_is_ended_with_a_reason(trials, write):
    """In a process of its own, which is all that ends the call."""
    code = write("""
        import time
        def train(trial):
            trial.report(4)
            while True:
                time.sleep(0.01)
    """)
    program = f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
from conftest import Trials
from trainables.functions.code import read_code
from trainables.trainer import TimedOutError
code = read_code({f"{code.module}.py:train"!r}, base={code.root!r})
trial = Trials({trials.place!r}).begin(code, config={{"seconds_per_trial": 0.3}})
try:
    trial.step()
except TimedOutError as error:
    print(error, flush=True)
trial.cleanup()
time.sleep(60)
"""
    begun = time.monotonic()
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50, cwd=ROOT)
    assert "minutes at epoch 4; it may hang, or resources.minutes_per_trial (0.005) is too short" in ended.stdout
    assert ended.returncode == 1
    assert time.monotonic() - begun < 50


def test_a_call_that_reports_is_ended_without_its_process(trials, write):
    code = write("""
        import time
        def train(trial):
            try:
                while True:
                    trial.report(1)
                    time.sleep(0.001)
            except Exception:
                pass  # as functions do
            finally:
                (trial.folder / "ended").touch()
    """)
    trial = trials.begin(code, config={"seconds_per_trial": 0.01})
    with pytest.raises(TimedOutError):
        trial.step()
    trial.cleanup()
    (folder,) = Path(trials.place).glob("*/*/")
    assert (folder / "ended").exists()
    assert trials.result(write('def train(trial): return {"score": 1}')).scores == (1, 1)


MODEL = """
    import torch

    class Encoder(torch.nn.Module):
        def __init__(self, scale):
            super().__init__()
            self.layer = torch.nn.Linear(2, 2, bias=False)
            torch.nn.init.constant_(self.layer.weight, scale)

        def forward(self, x):
            return self.layer(x).relu()

    def train(trial):
        model = Encoder(1.0)
        trial.keep("image", model)
        torch.nn.init.zeros_(model.layer.weight)  # after it was kept
        trial.keep("text", {"weights": [1, 2], "made": Encoder})
        return {"score": 1}
"""


def test_kept_encoders_open_where_his_files_are_not(trials, write):
    code = write(MODEL, file="own_encoders_of_a_test.py")
    trials.result(code, config={"keep": True}, phase="final")
    (folder,) = [path for path in Path(trials.place).iterdir() if path.is_dir()]
    image, text = (Path(trials.place) / encoder_file(folder.name, index) for index in range(2))
    assert is_kept(image)
    told = read_kept(image)
    assert (told.modality, told.kind, told.library) == ("image", "own_encoders_of_a_test.Encoder", "torch")
    assert read_kept(text).library == "other"
    program = (
        "import sys, torch; from trainables.saving.kept import read_kept\n"
        f"model = read_kept({str(image)!r}).open(); print(model(torch.ones(1, 2)).tolist())\n"
        f"print(read_kept({str(text)!r}).open()['weights'], 'own_encoders_of_a_test' in sys.modules)"
    )
    opened = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert opened.stdout == "[[2.0, 2.0]]\n[1, 2] False\n"


def test_a_result_says_which_encoders_were_kept_also_by_a_call_that_was_killed(trials, write):
    code = write("""
        def train(trial):
            if not (saved := trial.folder / "saved").exists():
                saved.touch()
                trial.keep("text", {"weights": 1})
                raise OSError("killed")
            return {"score": 1}
    """)
    with pytest.raises(UserError):
        trials.last(code, config={"keep": True}, phase="final")
    result = trials.result(code, config={"keep": True}, phase="final")
    assert result.kept == ReplicateResult.from_json(json.loads(json.dumps(result.to_json()))).kept == (1,)
    assert trials.result(write(MODEL)).kept == ()


def test_encoders_are_kept_where_the_study_keeps_them_alone(trials, write):
    trials.result(write(MODEL))
    assert list(Path(trials.place).glob("*-encoder-*")) == []


def test_what_cannot_be_pickled_is_told(trials, write):
    code = write("""
        import threading
        def train(trial):
            trial.keep("image", threading.Lock())
    """)
    progress = trials.last(code, config={"keep": True})
    assert "trial.keep cannot keep lock as the encoder of image: TypeError: cannot pickle" in progress["refused"]


KILLED = """
    import os, signal, torch

    def train(trial):
        torch.manual_seed(trial.seed)
        model = torch.nn.Linear(3, 1)
        optimiser = torch.optim.Adam(model.parameters(), lr=trial.hyperparameters["learning_rate"])
        saved = trial.folder / "state.pt"
        start = 0
        if saved.exists():
            state = torch.load(saved)
            start = state["epoch"]
            model.load_state_dict(state["model"])
            optimiser.load_state_dict(state["optimiser"])
            torch.set_rng_state(state["rng"])
        for epoch in range(start, 6):
            x = torch.randn(16, 3)
            loss = (model(x) - x.sum(1, keepdim=True)).square().mean() + trial.strength * model.weight.square().sum()
            optimiser.zero_grad(); loss.backward(); optimiser.step()
            state = {"epoch": epoch + 1, "model": model.state_dict(), "optimiser": optimiser.state_dict(),
                     "rng": torch.get_rng_state()}
            torch.save(state, trial.folder / "new.pt")
            os.replace(trial.folder / "new.pt", saved)
            trial.report(epoch + 1, of=6, scores={"score": -loss})
            if os.environ.get("KILL_AT") == str(epoch + 1):
                os.kill(os.getpid(), signal.SIGKILL)
        return {"score": model.weight.sum(), "started": start}
"""
PROGRAM = """
import sys
sys.path.insert(0, {tests!r})
from conftest import Trials
from trainables.functions.code import read_code
code = read_code("killed.py:train", base={base!r})
Trials({place!r}).last(code, config={config!r}, hyperparameters={asked!r})
"""


@pytest.mark.parametrize(("where", "epochs"), [("folder", (2, 4)), ("bucket", (3,))])
def test_a_killed_trial_goes_on_and_comes_to_the_same(trials, write, request, tmp_path, where, epochs):
    code = write(KILLED, file="killed.py")
    place = trials.place if where == "folder" else f"{request.getfixturevalue('bucket')}/{tmp_path.name}"
    asked = {"learning_rate": 0.1}
    told = {"tests": str(Path(__file__).parent), "base": code.root, "place": place, "asked": asked}
    program = PROGRAM.format(**told, config={"checkpoint_seconds": 0})
    for epoch in epochs:
        ended = subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, env={**os.environ, "KILL_AT": str(epoch)}, check=False
        )
        assert ended.returncode == -signal.SIGKILL
    resumed = replace(trials, place=place).result(code, hyperparameters=asked)
    whole = replace(trials, place=str(tmp_path)).result(code, hyperparameters=asked)
    assert (whole.extras["started"], resumed.extras["started"]) == (0, epochs[-1])
    assert resumed.scores == whole.scores
    after = whole.curve[
        epochs[-1] :
    ]  # what was reported in the seconds before it was killed may be missing of a bucket
    assert [point[:3] for point in resumed.curve][-len(after) :] == [point[:3] for point in after]


def test_what_was_reported_before_a_kill_is_on_the_curve_of_the_call_that_goes_on(trials, write):
    code = write("""
        def train(trial):
            start = len(list(trial.folder.iterdir()))
            for epoch in range(start, 6):
                trial.report(epoch + 1, of=6, scores={"image": epoch, "text": epoch})
                (trial.folder / str(epoch)).touch()
                if epoch == 3 and start == 0:
                    raise RuntimeError("as good as killed")
            return {"score": 1}
    """)
    with pytest.raises(UserError):
        trials.last(code)
    (log,) = Path(trials.place).glob("*/*.reports")
    with log.open("a") as torn:
        torn.write("[5, 6")
    assert [point[0] for point in trials.result(code).curve] == [1, 2, 3, 4, 5, 6]


def test_what_the_study_asks_for_is_saved_and_read_back_by_torch_as_plain_values(trials, write):
    """`torch.load` refuses other types, at the very moment when a killed worker is replaced."""
    result = trials.result(
        write("""
            import copy, json, pickle, torch
            def train(trial):
                asked = {"o": trial.options, "h": trial.hyperparameters, "s": trial.strengths}
                torch.save(asked, trial.folder / "state.pt")
                again = torch.load(trial.folder / "state.pt", weights_only=True)
                assert again == asked == pickle.loads(pickle.dumps(asked)) == copy.deepcopy(asked)
                assert json.loads(json.dumps(asked)) == asked
                return {"score": 1}
        """),
        options={"a": {"b": [1, None]}},
        hyperparameters={"lr": 0.1},
    )
    assert result.status == "ok"


def test_the_colours_of_a_message_are_left_to_terminals(trials, write):
    code = write("def train(trial): raise ValueError('\\x1b[1mloud\\x1b[0m')")
    with pytest.raises(UserError, match=r"^ValueError: loud \(") as raised:
        trials.last(code)
    assert "\x1b" not in raised.value.lines
