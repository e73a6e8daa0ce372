"""The pipeline of a search: it runs the stages in order, skips complete ones, and resumes interrupted ones.

A run is a folder with a sub-folder for each stage, which contains ``done.json`` once the stage is complete::

    work_dirs/<name>/config.json              the resolved configuration
                     images.json              classes, number and digest of the images, which later stages compare
                     learn/                   supernet.safetensors, curve.csv; the method's classifier, if any
                     linear/                  classifier.safetensors, curve.csv
                     explore/                 study.db, ranking.csv
                     winner/                  a timm model folder with the supernet's weights; provenance.json
                     train/                   curve.csv; comparison.csv and compare/ of networks that train alike
                     trained/                 a timm model folder of the winner after stand-alone training
                     report.html
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from pinas_zoo.arch import Arch
from pinas_zoo.engine import distributed
from pinas_zoo.engine.folder_lock import FolderLock, hold_folder, refuse_if_held
from pinas_zoo.errors import UserError
from pinas_zoo.made_with import made_with
from pinas_zoo.operating_system import peak_memory_mib
from pinas_zoo.search.config import load_config
from pinas_zoo.search.context import Context
from pinas_zoo.search.learned_nothing import warnings_of
from pinas_zoo.search.preflight import check_run
from pinas_zoo.search.report.page import write_report
from pinas_zoo.search.run_files import part_columns, read_ranking
from pinas_zoo.search.run_folder import DONE, STAGES, is_done, mark_done, read_done, remove_attempts, sweep
from pinas_zoo.search.scorers.log_ranks import combined
from pinas_zoo.search.scorers.protocol import Score
from pinas_zoo.search.stages.explore import explore, explore_paths, run_study
from pinas_zoo.search.stages.learn import learn
from pinas_zoo.search.stages.linear import linear
from pinas_zoo.search.stages.needed import why_left_out
from pinas_zoo.search.stages.result import StageResult
from pinas_zoo.search.stages.stage_warnings import stage_facts, stored_warnings
from pinas_zoo.search.stages.train import train
from pinas_zoo.search.stages.winner import winner
from pinas_zoo.search.study.stored_trials import known_scores
from pinas_zoo.terminal import warning
from pinas_zoo.weights.atomic import write_json
from pinas_zoo.zoo import registry

REPORT = "report.html"
UNCHECKED = "unchecked"  # in done.json of a stage whose warnings are not known yet
Stage = Callable[[Context], StageResult | None]
RUN_STAGE: dict[str, Stage] = {
    "learn": learn,
    "linear": linear,
    "explore": explore,
    "winner": winner,
    "train": train,
}
assert tuple(RUN_STAGE) == STAGES
HELD_CURE = "let it finish, choose another folder with --work-dir, or score candidates for it with --worker"


def run(context: Context, register_anyway: bool = False) -> None:
    """Run every stage that is not complete, then write the report and register the winner.

    Args:
        context: Context of the run.
        register_anyway: Whether to register the winner of a search that learned nothing, too.

    Raises:
        UserError: The images cannot be used, or the method cannot be built. The folder is not created in these cases.
            Or another search holds the folder.
    """
    if distributed.rank() == 0:
        refuse_if_held(context.folder, HELD_CURE)
    check_run(context)
    with hold_folder(context.folder, HELD_CURE) if distributed.rank() == 0 else nullcontext() as lock:
        run_stages(context, lock, register_anyway)


def run_stages(context: Context, lock: FolderLock | None, register_anyway: bool = False) -> None:
    """Run the stages as :func:`run` does, in a folder whose lock the first process holds."""
    config, folder, say = context.config, context.folder, context.say
    made_with()  # before hours in which the sources may change
    if distributed.rank() == 0:
        write_json(folder / "config.json", config.model_dump(mode="json"))
        sweep(folder)
    if distributed.world() > 1:
        world, images = distributed.world(), config.learn.batch_size
        say(
            f"ranks    {world} processes share each batch: {images} images in learn, {images // world} each; learning "
            "rates are the configured ones"
        )
    distributed.wait()
    if not (folder / "config.json").is_file():
        raise UserError(f"expected --work-dir on a disk that all machines share, found no run in {folder}")
    for stage in STAGES:
        reason = why_left_out(config, stage)
        if reason is not None:
            say(f"{stage:8} {reason}")
        elif is_done(folder, stage):
            say(f"{stage:8} complete already: {read_done(folder / stage)['summary']}")
            if lock is not None:
                if UNCHECKED in (facts := read_done(folder / stage)):
                    check_stage(context, stage, facts)
                remove_attempts(folder, stage)
            say_warnings(context, stage)
        else:
            context.record_images()
            result = RUN_STAGE[stage](context)
            if lock is not None:
                lock.check()
            finish_stage(context, stage, result)
        distributed.wait()
        if stage == config.until and stage != STAGES[-1]:
            if distributed.rank() == 0:
                say(f"report   {write_run_report(context)}")
            say(f"stopped  after {stage}, as until={stage!r} asks")
            return
    if distributed.rank() == 0:
        finish(context, register_anyway)


def finish_stage(context: Context, stage: str, result: StageResult | None) -> None:
    """Mark a stage as complete and print its summary. ``result`` is None in processes other than the first.

    The learn stage is complete before it is checked: a stop during its probes costs no training, since the run that
    goes on checks it.
    """
    if result is None:
        return
    facts = {
        "summary": result.summary,
        "seconds": round(result.seconds, 2),
        "peak_memory_mib": round(peak_memory_mib()),
        **result.facts,
        "made_with": made_with(),
    }
    if stage == "learn":
        mark_done(context.folder, stage, {**facts, UNCHECKED: True})
    check_stage(context, stage, facts)
    context.say(f"{stage:8} {result.summary} ({result.seconds:.0f} s)")
    say_warnings(context, stage)


def check_stage(context: Context, stage: str, facts: Mapping[str, Any]) -> None:
    """Mark a stage as complete, with its warnings."""
    scores = stored_scores(context) if stage == "explore" else {}
    known = {key: value for key, value in facts.items() if key != UNCHECKED}
    mark_done(context.folder, stage, {**known, **stage_facts(context, stage, known, scores)})


def say_warnings(context: Context, stage: str) -> None:
    """Print the warnings of a complete stage, its probes, and how many candidates lie within noise of the winner."""
    facts = read_done(context.folder / stage)
    if probed := facts.get("probed"):
        context.say(f"probes   {probed['text']}")
    if not_probed := facts.get("not_probed"):
        context.say(f"note     {not_probed}")
    for found in warnings_of(facts):
        if found.text != facts.get("trouble"):  # the stage's summary has that one
            context.say(f"warning  {found.text}")
    if noise := facts.get("within_noise"):
        context.say(f"noise    {noise['text']}")


def finish(context: Context, register_anyway: bool = False) -> None:
    """Write the report, register the winner unless the search learned nothing, and print how to load it."""
    folder, say = context.folder, context.say
    trained = context.config.train.enabled
    name = f"{context.config.name}_winner"
    done = folder / ("train" if trained else "winner")
    value = read_done(done).get("test_accuracy")
    if value is None:
        raise UserError(f"expected a test accuracy in {done / DONE}, found none; delete the file to repeat the stage")
    network = folder / ("trained" if trained else "winner")
    checks = [found.check for found in stored_warnings(folder) if found.blocks]
    load = f"local-dir:{network}" if checks and not register_anyway else name
    if load == name:
        registry.register(name, folder=network)
    report = write_run_report(context)
    facts = [read_done(folder / stage) for stage in STAGES if is_done(folder, stage)]
    total, peak = sum(f["seconds"] for f in facts), max(f["peak_memory_mib"] for f in facts)
    say(f"report   {report}")
    say(f"done     {total:.0f} s in stages, peak memory {peak} MiB\n")
    if load != name:
        before = registry.find(name)
        kept = "" if before is None else f"; the name stays that of {before.folder or before.arch}"
        say(
            f"warning  {name} is not registered, because the search learned nothing ({', '.join(checks)}){kept}; "
            "repeat with --register-anyway to register it\n"
        )
    say("import timm, pinas_zoo")
    say(f'model = timm.create_model("{load}", pretrained=True)  # test accuracy {value:.2%}')


def write_run_report(context: Context) -> Path:
    """Write ``report.html`` from the results that exist in the run's folder, and return its path."""
    scores = stored_scores(context) if (context.folder / "explore").is_dir() else {}
    return write_report(context.folder, context.config, context.space, scores)


def stored_scores(context: Context) -> dict[Arch, Score]:
    """The scores of the study; or those of a complete stage's ranking where the study is gone, or holds fewer of them.

    Raises:
        UserError: The stage is not complete, and the study cannot be read.
    """
    weights = context.config.explore.weights
    if not is_done(context.folder, "explore"):
        return known_scores(run_study(context), weights)
    rows = read_ranking(context.folder / "explore" / "ranking.csv", weights or ())
    try:
        if context.config.explore.storage or (context.folder / "explore" / "study.db").is_file():
            scores = known_scores(run_study(context), weights)
            if len(scores) >= len(rows):
                return scores
        problem = f"the study of {context.folder} does not hold all candidates"
    except UserError as error:
        problem = str(error)
    warning(f"{problem}; the report takes the scores of ranking.csv, to five digits")
    order = sorted(rows, key=lambda row: int(row.get("evaluation") or row["rank"]))
    stored = {context.space.parse(row["arch"]): _stored_score(row, weights or ()) for row in order}
    return combined(stored, weights)


def _stored_score(row: Mapping[str, str], parts: Collection[str]) -> Score:
    """The score in a row of ``ranking.csv``, with its parts."""
    columns = {name: part_columns(name)[:2] for name in parts}
    found = {name: Score(float(row[value]), float(row[loss])) for name, (value, loss) in columns.items()}
    return Score(float(row["accuracy"]), float(row["loss"]), found)


def work(context: Context) -> None:
    """Score candidates for a search that another process runs, in this folder or a copy of it.

    Only the study is written.

    Raises:
        UserError: A stage before explore is not complete in this folder.
    """
    for stage in ("learn", "linear"):
        if why_left_out(context.config, stage) is None and not is_done(context.folder, stage):
            raise UserError(
                f"expected a complete {stage} stage in {context.folder}; run the search without --worker first, "
                "and copy its folder here if it is on another disk"
            )
    if is_done(context.folder, "explore"):
        context.say("explore  complete already")
        return
    count = len(explore_paths(context))
    context.say(f"explore  {count} architectures are scored; the search continues where it runs")


def open_context(folder: Path, stage: str | None, overrides: Mapping[str, Any] | None = None) -> Context:
    """Open an existing run for reading. No code in the folder is executed, and nothing is printed.

    Args:
        folder: Folder of the run.
        stage: A stage that has to be complete; None for no requirement.
        overrides: Configuration values by dotted key. A run whose space or method is a Python file requires the file
            here.

    Raises:
        UserError: The folder does not contain a run, or its ``stage`` is not complete.
    """
    if not (folder / "config.json").is_file():
        raise UserError(f"expected the folder of a run, found no config.json in {folder}; `pinas-zoo search` makes one")
    if stage is not None and not is_done(folder, stage):
        raise UserError(
            f"expected a run whose stage {stage} is complete, got {folder}; resume it with `pinas-zoo search`"
        )
    return Context.of(load_config(folder / "config.json", overrides), folder, say=lambda text: None)
