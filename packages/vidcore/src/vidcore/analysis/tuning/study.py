"""``tune``: an Optuna study of run configurations, kept in a folder and gone on with at any time."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vidcore.analysis.tuning.headline import test_score
from vidcore.analysis.tuning.page import key_in_words, write_page
from vidcore.analysis.tuning.space import GRID_POINTS, grid_size, search_space, with_values
from vidcore.analysis.tuning.trials import Ground, prepare_ground
from vidcore.catalog import Registry, installed
from vidcore.config import RunConfig
from vidcore.config.search import Choices, Space
from vidcore.errors import ConfigError, RunError, TrainingError, VidcoreError
from vidcore.heads.base import LOSS
from vidcore.training import Callback, RunFolder, RunInterruptedError, open_run, resume, train
from vidcore.training.files import read_json, write_json
from vidcore.training.progress import Progress

if TYPE_CHECKING:
    import optuna

    from vidcore.training import Trainer

Sampler = Literal["tpe", "grid"]
_STARTUP_TRIALS = 5


@dataclass(frozen=True, slots=True)
class Kept:
    """One of the best settings, trained on all training rows.

    Attributes:
        trial: its number in the study.
        values: what was searched, by key.
        search_score: validation loss in the search.
        score: validation loss of the model trained on all training rows.
        test: its score on the test rows, with ``value``, and ``interval95`` where there are enough of them; ``None``
            where the data has no test rows.
        run: its run folder.
    """

    trial: int
    values: dict[str, Any]
    search_score: float
    score: float
    test: dict[str, Any] | None
    run: Path


@dataclass(frozen=True, slots=True)
class Tuning:
    """What a search found.

    Attributes:
        folder: the study's own folder.
        metric: what was searched for on the validation rows: their loss.
        space: what was searched, in words.
        trials: every trial: number, state, score, values, error.
        importance: share of the score's variation that each key explains (fANOVA); empty where too few trials ended.
        kept: the best settings trained on all training rows, the best first by validation loss.
    """

    folder: Path
    metric: str
    space: dict[str, str]
    trials: list[dict[str, Any]]
    importance: dict[str, float]
    kept: list[Kept]

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        kept = [
            {
                "trial": k.trial,
                "values": k.values,
                "search_score": k.search_score,
                "score": k.score,
                "test": k.test,
                "run": str(k.run),
            }
            for k in self.kept
        ]
        return {
            "metric": self.metric,
            "space": self.space,
            "trials": self.trials,
            "importance": self.importance,
            "kept": kept,
        }


def tune(
    config: RunConfig,
    out: Path,
    *,
    trials: int = 30,
    sampler: Sampler = "tpe",
    search: Sequence[str] = (),
    share: float = 1.0,
    top: int = 3,
    prune: bool = True,
    said: Callable[[str], None] = lambda line: None,
    registry: Registry | None = None,
) -> Tuning:
    """Search the options of a composition; then train the best settings on all training rows.

    Trials are judged by validation rows; test rows are read by the kept models alone, once. Calling it again
    with the same folder goes on: a trial that was stopped is finished, more trials are added up to ``trials``.

    Args:
        config: the run that is varied.
        out: folder of the study: ``study.db`` (SQLite), ``trials/``, ``top/``, ``tuning.json``, ``tuning.html``.
        trials: how many there shall be in all; a grid has at most as many as it has points.
        sampler: tpe (Bergstra et al., NeurIPS 2011) or grid (four points an interval).
        search: spaces as ``train.lr=1e-5..1e-2:log``; by default what the parts' configurations declare.
        share: part of the training rows that trials see.
        top: how many settings are trained on all training rows.
        prune: stop a trial whose validation loss is above the median of the others at that epoch.
        said: hears one line per trial.
        registry: components; by default those installed.

    Raises:
        ConfigError: a space or sampler that cannot be, or Optuna is not installed.
        DataError: no validation rows, or the folder's study is of other data.
        TrainingError: not one trial could be trained.
        RunInterruptedError: Ctrl-C; its message says how to go on.
    """
    optuna = _optuna()
    if config.train.folds:
        raise ConfigError("a search judges every trial on the same validation rows; leave train.folds away")
    if config.train.grid:
        raise ConfigError("a search chooses learning rate and weight decay by itself; leave train.grid away")
    registry = registry or installed()
    space = search_space(config, registry, search)
    out.mkdir(parents=True, exist_ok=True)
    with Progress() as progress:
        ground = prepare_ground(config, out, share, registry, progress)
    study = _open_study(optuna, out, space, sampler, config, prune)
    wanted = min(trials, grid_size(space)) if sampler == "grid" else trials
    searcher = _Searcher(study, space, config, out, ground, registry, said)
    searcher.finish_stopped()
    while searcher.ended < wanted:
        searcher.run_one(wanted)
    found = Tuning(
        out,
        LOSS,
        {key: str(values) for key, values in space.items()},
        searcher.rows(),
        _importance(optuna, study),
        searcher.keep(top),
    )
    write_json(out / "tuning.json", found.as_dict())
    write_page(found.as_dict(), out / "tuning.html", higher=False)
    return found


class _Searcher:
    def __init__(
        self,
        study: optuna.Study,
        space: Mapping[str, Space],
        config: RunConfig,
        out: Path,
        ground: Ground,
        registry: Registry,
        said: Callable[[str], None],
    ) -> None:
        self.study, self.space, self.config, self.out = study, space, config, out
        self.ground, self.registry, self.said = ground, registry, said

    @property
    def ended(self) -> int:
        """Trials that are done, pruned or failed on their own account."""
        return len(
            [trial for trial in self.study.trials if trial.state.is_finished() and "stopped" not in trial.user_attrs]
        )

    def finish_stopped(self) -> None:
        """A trial that a killed process left running is marked and its values are tried again, from where it stood."""
        import optuna

        for trial in self.study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
            self.study._storage.set_trial_user_attr(trial._trial_id, "stopped", True)
            self.study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
            self.study.enqueue_trial(
                trial.params, user_attrs={"folder": trial.user_attrs.get("folder", str(trial.number))}
            )

    def run_one(self, wanted: int) -> None:
        """Ask for one setting, train it, tell what came of it."""
        import optuna

        trial = self.study.ask()
        values = {key: _suggested(trial, key, space) for key, space in self.space.items()}
        name = f"{int(trial.user_attrs.get('folder', trial.number)):04}"
        trial.set_user_attr("folder", str(int(name)))
        pruner = _Pruner(trial)
        try:
            run = self._trained(with_values(self.config, values), self.out / "trials", name, self.ground.search, pruner)
        except RunInterruptedError as exc:
            raise RunInterruptedError(f"stopped in trial {trial.number}; the same command goes on with it") from exc
        except VidcoreError as exc:
            trial.set_user_attr("error", str(exc))
            self.study.tell(trial, state=optuna.trial.TrialState.FAIL)
            self.said(f"trial {trial.number + 1}: failed: {str(exc).splitlines()[0]}")
            self._give_up_where_all_fail()
            return
        score = run.read_results()["best_loss"]
        if pruner.pruned:
            self.study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            self.study.tell(trial, score)
        shown = ", ".join(f"{key_in_words(key)} {_short(value)}" for key, value in values.items())
        state = " (stopped early: worse than the median)" if pruner.pruned else ""
        self.said(f"trial {self.ended} of {wanted}: validation loss {score:.4f}{state}  {shown}")
        # What a search leaves of a trial is its scores; the weights of the kept settings are trained anew.
        shutil.rmtree(run.checkpoints, ignore_errors=True)

    def keep(self, top: int) -> list[Kept]:
        """Train the best settings on all training rows."""
        import optuna

        done = self.study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
        # Equal scores in the order of the trials; the same values are trained once.
        ranked = sorted(done, key=lambda t: (t.value or 0, t.number))
        different = list({tuple(sorted(t.params.items())): t for t in reversed(ranked)}.values())[::-1]
        kept = []
        for trial in sorted(different, key=ranked.index)[:top]:
            values = self._values(trial)
            self.said(f"training trial {trial.number + 1} on all training rows")
            run = self._trained(
                with_values(self.config, values), self.out / "top", f"trial-{trial.number:04}", self.ground.full
            )
            results = run.read_results()
            score, test = float(results["best_loss"]), test_score(results)
            kept.append(Kept(trial.number, values, float(trial.value or 0), score, test, run.root))
        return sorted(kept, key=lambda one: one.score)

    def rows(self) -> list[dict[str, Any]]:
        """Every trial in plain data."""
        return [
            {
                "trial": t.number,
                "state": "stopped" if "stopped" in t.user_attrs else t.state.name.lower(),
                "score": t.value if t.value is not None else (min(t.intermediate_values.values(), default=None)),
                "values": self._values(t),
                "error": t.user_attrs.get("error"),
                "epochs": len(t.intermediate_values),
            }
            for t in self.study.get_trials(deepcopy=False)
        ]

    def _values(self, trial: optuna.trial.FrozenTrial) -> dict[str, Any]:
        return {
            key: space.values[trial.params[key]] if isinstance(space, Choices) else trial.params[key]
            for key, space in self.space.items()
            if key in trial.params
        }

    def _trained(
        self, config: RunConfig, out: Path, name: str, manifest: Path, pruner: Callback | None = None
    ) -> RunFolder:
        """The run of this name: as it is where it is done, gone on with where it was stopped."""
        callbacks = [pruner] if pruner else []
        if (out / name / "config.yaml").exists():
            run = open_run(out / name)
            if run.done:
                return run
            try:
                return resume(run.root, registry=self.registry, callbacks=callbacks)
            except RunError:
                # What cannot be gone on with exactly is done again: a study compares like with like.
                pass
        shutil.rmtree(out / name, ignore_errors=True)
        data = config.data.model_copy(update={"source": str(manifest), "options": {}})
        return train(
            config.model_copy(update={"data": data, "out": out, "name": name}),
            registry=self.registry,
            callbacks=callbacks,
        )

    def _give_up_where_all_fail(self) -> None:
        trials = [trial for trial in self.study.trials if trial.state.is_finished()]
        errors = [trial.user_attrs.get("error") for trial in trials]
        if len(errors) >= 3 and all(errors):
            raise TrainingError(f"the first {len(errors)} trials all failed; the last one says:\n  {errors[-1]}")


class _Pruner(Callback):
    """Tells the study of every epoch and stops the training where the study has seen enough."""

    def __init__(self, trial: optuna.Trial) -> None:
        self._trial = trial
        self.pruned = False

    def on_epoch(self, trainer: Trainer, row: Mapping[str, Any]) -> None:
        """See ``Callback``."""
        loss = row.get("val_loss")
        if loss is None:
            return
        self._trial.report(float(loss), int(row["epoch"]))
        if self._trial.should_prune():
            self.pruned = True
            trainer.stop()


def _optuna() -> Any:
    try:
        import optuna
    except ModuleNotFoundError as exc:
        raise ConfigError("vidcore tune needs Optuna, which is not installed: pip install 'vidcore[tune]'") from exc
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _open_study(
    optuna: Any, out: Path, space: Mapping[str, Space], sampler: Sampler, config: RunConfig, prune: bool
) -> Any:
    known = out / "space.json"
    stated = {"sampler": sampler, "space": {key: str(values) for key, values in space.items()}}
    if known.exists() and read_json(known) != stated:
        raise ConfigError(
            f"{out} holds a study of another space or sampler: {read_json(known)}\n  use another --out, or that space"
        )
    write_json(known, stated)
    seed = config.train.seed
    chosen = optuna.samplers.TPESampler(seed=seed, n_startup_trials=_STARTUP_TRIALS)
    pruner = optuna.pruners.MedianPruner(_STARTUP_TRIALS, n_warmup_steps=1) if prune else optuna.pruners.NopPruner()
    study = optuna.create_study(
        storage=f"sqlite:///{out / 'study.db'}",
        study_name="vidcore",
        sampler=chosen,
        pruner=pruner,
        direction="minimize",
        load_if_exists=True,
    )
    if sampler == "grid":
        # Optuna's own grid sampler works inside its own loop only.
        points = [
            range(len(values.values)) if isinstance(values, Choices) else values.grid(GRID_POINTS)
            for values in space.values()
        ]
        for point in itertools.product(*points):
            study.enqueue_trial(dict(zip(space, point, strict=True)), skip_if_exists=True)
    return study


def _suggested(trial: optuna.Trial, key: str, space: Space) -> Any:
    if isinstance(space, Choices):
        # Positions: Optuna stores plain values only, and a choice may be a list.
        return space.values[trial.suggest_categorical(key, list(range(len(space.values))))]
    if space.whole:
        return trial.suggest_int(key, int(space.low), int(space.high), log=space.log)
    return trial.suggest_float(key, space.low, space.high, log=space.log)


def _importance(optuna: Any, study: optuna.Study) -> dict[str, float]:
    done = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    if len(done) < 4 or len({trial.value for trial in done}) < 2:
        return {}
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    return dict(optuna.importance.get_param_importances(study, evaluator=evaluator))


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
