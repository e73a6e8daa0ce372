"""Stage 3 (sec. 3.3): score paths, rank them, and select the best."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import optuna
import timm
from mmengine.device import get_device
from numpy.typing import NDArray

from pinas_zoo.arch import Arch
from pinas_zoo.engine import distributed
from pinas_zoo.errors import UserError, WeightsMissing
from pinas_zoo.rng import Stream, step_rng
from pinas_zoo.search.config import SearchConfig, without_password
from pinas_zoo.search.context import Context
from pinas_zoo.search.ranking.main_effects import main_effects
from pinas_zoo.search.ranking.similarity import off_diagonal, path_similarity, write_matrix
from pinas_zoo.search.run_folder import DONE, read_done
from pinas_zoo.search.score_kinds import score_kind
from pinas_zoo.search.scorers.block_losses import BlockLossScorer
from pinas_zoo.search.scorers.consistency import COMPARED
from pinas_zoo.search.scorers.protocol import CLASSIFIER, SUPERNET, Score, Scorer
from pinas_zoo.search.stages.learn import learned_method
from pinas_zoo.search.stages.result import StageResult
from pinas_zoo.search.stages.winner import network_args
from pinas_zoo.search.study.constraints import Limits, latency_ms
from pinas_zoo.search.study.loop import check_scores, explore_study
from pinas_zoo.search.study.ranking_file import write_ranking
from pinas_zoo.search.study.storage import open_study, storage_errors
from pinas_zoo.search.study.stored_trials import add_score, check_trials, exploration_seconds, known_scores
from pinas_zoo.zoo import registry
from pinas_zoo.zoo.registry import PICTURED

SIMILARITY_IMAGES, SIMILARITY_PATHS = 256, 4


def explore(context: Context) -> StageResult | None:
    """Score candidates until the goal is reached, rank them, and select the best.

    Returns:
        The result of the stage; None in processes other than the first.

    Raises:
        UserError: No architecture is within the limits, or the study contains scores of another kind.
    """
    if distributed.rank() == 0:
        run_study(context)  # only one process creates it
    distributed.wait()
    scores = explore_paths(context)
    if distributed.rank() > 0:
        return None
    folder, options, size = context.folder / "explore", context.config.explore, context.config.data.image_size
    kind = score_kind(context.config)
    values = {arch: score.accuracy for arch, score in scores.items()}
    effects = main_effects(values, context.space.num_candidates, context.space.reachable)
    winner = write_ranking(
        folder / "ranking.csv", context.space, scores, size, effects, options.rank_by, options.weights
    )
    low, high = min(values.values()), max(values.values())
    span = kind.shown(low, 1) if len(scores) == 1 else f"{kind.shown(low, 1)} to {kind.shown(high, 1)}"
    summary = f"{len(scores)} of {context.space.size} architectures, {kind.title} {span}, best {winner}"
    if options.rank_by != "score" and len(scores) > 1:  # a method may have chosen the only one
        warning = effects.warning()
        by = {"effects": "effects", "smoothed": "score and effects"}[options.rank_by]
        summary += f" by {by}" + (f"; WARNING: {warning}" if warning else "")
    facts: dict[str, Any] = {"winner": str(winner), "held_out": len(context.scoring_data().held_out)}
    if "classifier" in options.kinds and kind.build is not None:
        by_classifier = scores if options.weights is None else {a: s.parts["classifier"] for a, s in scores.items()}
        facts["references"] = score_references(context, by_classifier)
        known = {"winner": by_classifier[winner].accuracy, **facts["references"]}
        summary += f"; Acc@S: {', '.join(f'{name} {accuracy:.1%}' for name, accuracy in known.items())}"
    if context.supernet is not None:
        matrix = similarity(context, SIMILARITY_IMAGES, SIMILARITY_PATHS)
        write_matrix(folder / "similarity.csv", matrix)
        facts["similarity"] = off_diagonal(matrix)
    return StageResult(summary, exploration_seconds(run_study(context)), facts)


def explore_paths(context: Context) -> dict[Arch, Score]:
    """Score candidates until the goal is reached, together with other workers of the study.

    If the method selected an architecture in learning, only that one is scored.

    Raises:
        UserError: No architecture is within the limits, or the study contains scores of another kind.
    """
    study, options, size = run_study(context), context.config.explore, context.config.data.image_size
    if "consistency" in options.kinds:
        check_consistency(context, study)
    scorer = build_scorer(context)
    learned = context.folder / "learn"
    chosen = read_done(learned).get("chosen") if learned.is_dir() else None
    if chosen is not None:
        try:
            arch = context.space.parse(chosen)
        except ValueError as error:
            raise UserError(f"expected what learn chose in {learned / DONE}, got {error}; delete the file") from None
        if distributed.rank() == 0 and arch not in known_scores(study, options.weights):
            found = scorer.scores([arch])
            check_scores([arch], found)
            add_score(study, context.space, arch, found[0])
        distributed.wait()
        return known_scores(study, options.weights)

    def latency(arch: Arch) -> float:
        network = timm.create_model(context.space.architecture, **network_args(context, arch))
        return latency_ms(network, size, get_device())

    if options.sampler == "traversal":
        if distributed.rank() == 0:
            add_best(context, study, scorer, latency)
        distributed.wait()
        return known_scores(study)
    with storage_errors(options.storage or str(context.folder / "explore" / "study.db")):
        return explore_study(context.space, scorer.scores, options, study, context.config.seed, size, latency)


def add_best(context: Context, study: optuna.Study, scorer: Scorer, latency: Callable[[Arch], float]) -> None:
    """Add the best architectures within the limits to the study, by an exact traversal of the space.

    Raises:
        UserError: No architecture is within the limits.
    """
    options, size = context.config.explore, context.config.data.image_size
    assert isinstance(scorer, BlockLossScorer)  # as checked before the run
    limits = Limits(context.space, options, size)
    known = known_scores(study)
    found: set[Arch] = set()
    for arch in scorer.traverse((options.max_params_m or math.inf, options.max_flops_g or math.inf)):
        if len(found) >= options.evaluations:
            break
        if limits.allow(arch) and (options.max_latency_ms is None or latency(arch) <= options.max_latency_ms):
            found.add(arch)
            if arch not in known:
                scores = scorer.scores([arch])
                check_scores([arch], scores)
                add_score(study, context.space, arch, scores[0])
    if not found:
        raise UserError("expected architectures within the limits of explore, found none; raise the limit")


def score_references(context: Context, scores: Mapping[Arch, Score]) -> dict[str, float]:
    """Acc@S of Table 1: top-1 accuracy in the supernet of the architectures that are known by name.

    They are no candidates: they do not count as evaluations, and cannot win.

    Args:
        context: Context of the run.
        scores: Scores by the classifier, of the exploration, which may contain some of them.
    """
    references = context.space.references()
    if "pinas_alpha" in references:  # the paper's space: a user may have registered what stands in a picture alone
        drawn = [entry for name in PICTURED if (entry := registry.find(name)) is not None]
        references |= {entry.name: context.space.parse(entry.arch) for entry in drawn}
    missing = [arch for arch in dict.fromkeys(references.values()) if arch not in scores]
    known = dict(scores)
    if missing:
        found = build_scorer(context).scores(missing)
        known |= {arch: one.parts.get("classifier", one) for arch, one in zip(missing, found, strict=True)}
    return {name: known[arch].accuracy for name, arch in references.items()}


def build_scorer(context: Context) -> Scorer:
    """Build the scorer of a run: the method's own if it scores paths itself, otherwise that of ``explore.score``."""
    kind = score_kind(context.config)
    if SUPERNET in kind.needs and kind.build is not None:
        context.trained_supernet()
    data = context.scoring_data()
    if CLASSIFIER in kind.needs and kind.build is not None and data.classifier is None:
        raise WeightsMissing(
            f"expected linear/classifier.safetensors, or that of learn, in {context.folder}, found none; delete {DONE} "
            "of the stage to train it again"
        )
    scorer = learned_method(context).scorer(data) if kind.build is None else kind.build(data)
    assert scorer is not None  # a method that scores paths has a scorer
    return scorer


def run_study(context: Context) -> optuna.Study:
    """Open the study of a run; it is created if it does not exist.

    Raises:
        UserError: The storage cannot be opened, or its study holds trials that are none of this run.
    """
    folder = context.folder / "explore"
    folder.mkdir(parents=True, exist_ok=True)
    storage = context.config.explore.storage
    if not storage:  # in the run's folder, whose configuration has been checked
        study = open_study(storage, folder)
    else:
        study = open_study(storage, folder, context.config.name, signature(context.config))
    where = without_password(storage) if storage else str(folder / "study.db")
    check_trials(study, context.space, where, context.config.explore.weights or ())
    return study


def signature(config: SearchConfig) -> str:
    """Hash of the configuration that a study outside the run's folder belongs to.

    Keys without influence on scores are left out, and keys at their defaults, so that a new version may add keys.
    """
    changing: dict[str, Any] = {"until": True, "streams": True, "log": True, "data": {"workers"}}
    content = config.model_dump_json(exclude=changing, exclude_defaults=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def similarity(context: Context, images: int, paths: int, seed: int | None = None) -> NDArray[np.float64]:
    """Compute the cosine similarities of Figure 5.

    Args:
        context: Context of the run.
        images: Number of held-out images.
        paths: Number of random paths that precede the compared candidates.
        seed: Seed of the images and paths. None: the run's.

    Raises:
        UserError: The run has no supernet.
    """
    if context.supernet is None:
        raise UserError(f"expected a run with a supernet, got {context.folder}, which learned none")
    seed = context.config.seed if seed is None else seed
    order = step_rng(seed, 0, Stream.SIMILARITY_IMAGES).permutation(len(context.splits.val))
    chosen = context.splits.val.subset(order[:images])
    pixels = context.views(context.config.views).normalise(next(iter(chosen.batches(len(chosen))))["pixels"])
    return path_similarity(context.space, context.supernet, pixels, seed, paths)


def check_consistency(context: Context, study: optuna.Study) -> None:
    """Check that a study's consistency scores compare features, as in this version, and mark the study accordingly.

    Raises:
        UserError: The scores compare outputs of a head, as in an earlier version, which saved ``head.safetensors``.
    """
    scored = bool(known_scores(study))  # read before the mark, because other workers set the mark before they score
    if study.user_attrs.get("consistency") == COMPARED:
        return
    if scored and (context.folder / "learn" / "head.safetensors").is_file():
        raise UserError(
            f"expected scores by consistency of {COMPARED}, got some by that of a head's outputs, of an earlier "
            f"version; delete {context.folder / 'explore'}, and what is kept in explore.storage, to score anew"
        )
    study.set_user_attr("consistency", COMPARED)
