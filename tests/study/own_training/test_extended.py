"""A study that has ended is asked for more by the command that its own report prints, through the real Ray."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import mlflow
import pytest

from study import run
from study.session.status import read_statuses
from tests.study.studies import TinyStudy, kill, wait_for

Make = Callable[..., TinyStudy]


def runs_of(folder: Path) -> list[str]:
    """The names of all runs that MLflow shows."""
    client = mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db")
    experiments = [one.experiment_id for one in client.search_experiments() if one.name != "Default"]
    return sorted(run.data.tags["mlflow.runName"] for run in client.search_runs(experiments))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_reports_advice_can_be_followed(own_study: Make) -> None:
    study = own_study("faint", refine=0, search=3, confirm=3, more="alignment: {one_sided: never}")
    before = study.finish()
    first = len(study.events("pack_done"))
    assert first == before["trainings"]
    page = (study.out / "report.html").read_text()
    advice = re.findall(r"the same command with (--set replicates\.confirm=(\d+))", page)
    assert advice, page
    option, wanted = advice[0]
    shown = runs_of(study.folder)

    extended = study.run(*option.split())
    assert extended.returncode == 0, extended.stderr
    assert "is extended (replicates.confirm: 3 -> " in extended.stderr
    after = study.report()
    (cell,), (old,) = after["cells"], before["cells"]
    trained = len(study.events("pack_done")) - first
    assert trained == after["trainings"] - before["trainings"]
    strengths = trained / (int(wanted) - 3)
    assert strengths == int(strengths)  # each of what was confirmed has the missing seeds, and nothing else is trained
    gain = cell["pair_choice"]["alternatives"][0]["gain_mean"]
    assert (gain["seeds"], gain["looks"]) == (int(wanted), 2)
    assert cell["encoders"][0]["curve"] == old["encoders"][0]["curve"]
    assert "could be seen before the study was extended (once, at 3 seeds)" in (study.out / "report.html").read_text()
    assert runs_of(study.folder) == shown  # brought up to date, and not shown twice
    (state,) = read_statuses(study.out.parent, say=lambda _: None)
    assert (state.ended, state.done, state.planned) == (True, after["trainings"], after["trainings"])

    rebuilt = study.run("--json", module="study.report")
    assert rebuilt.returncode == 0, rebuilt.stderr
    assert study.report() == after
    refused = study.run()  # the command as it was
    assert refused.returncode == 2
    assert f"--set replicates.confirm={wanted}" in refused.stderr.splitlines()[-1]
    assert study.report() == after


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_extension_is_killed_in_a_training_and_goes_on(own_study: Make, tmp_path: Path) -> None:
    """As is one beside a study that is running, which is refused."""
    options = f"{{epochs: 6, log: {tmp_path / 'log'}}}"
    study = own_study("slowly", refine=0, search=1, confirm=2, options=options)
    driver = study.start()
    wait_for(lambda: (tmp_path / "log").exists(), driver)
    beside = study.run("--set", "replicates.confirm=4")
    assert beside.returncode == 2
    assert "is being run already" in beside.stderr
    told = driver.communicate()
    assert driver.returncode == 0, told
    before = study.report()["trainings"]
    lines = len((tmp_path / "log").read_text().splitlines())
    assert lines == 6 * before

    more = ("--set", "replicates.confirm=4", "--set", "replicates.search=2")
    extension = study.start(*more)
    wait_for(lambda: len((tmp_path / "log").read_text().splitlines()) > lines + 3, extension)
    kill(extension)
    report = study.finish(*more)
    assert len(report["cells"][0]["extensions"]) == 1
    trained = (tmp_path / "log").read_text().splitlines()
    again = len(trained) - 6 * report["trainings"]
    assert 0 <= again <= 4  # epochs that the killed workers had not saved


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_function_from_python_is_asked_for_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def train(trial):  # type: ignore[no-untyped-def]
        return {"score": 1 - (trial.strength - 1) ** 2 + trial.seed % 7 / 100}

    def asked(search: int) -> int:
        keys = {"search": search, "confirm": 2}
        results = run(
            train, study="mine", pairs=[("a", "b")], strength={"initial": [0, 1, 2], "refine": 0}, replicates=keys,
            out=tmp_path / "studies", tracking_uri=f"sqlite:///{tmp_path}/mlflow.db", progress=False,
        )  # fmt: skip
        return int(results.report.trainings or 0)

    first = asked(2)
    assert asked(3) - first == 3
    with pytest.raises(Exception, match="has more on record"):
        asked(2)
