"""The plan of a study's dry run: its supernets, its trainings, and the jobs that are left."""

from __future__ import annotations

from typing import Any

from pinas_zoo.data.sources import root_found
from pinas_zoo.search.config import without_password
from pinas_zoo.search.score_list import in_words
from pinas_zoo.search.trained_study.jobs import Study


def plan(study: Study) -> dict[str, Any]:
    """What a study would do, as plain data. Nothing is written, and no image is read.

    Raises:
        UserError: A method does not accept an option, or the folder holds supernets or trainings of another
            configuration.
    """
    study.check_methods()
    config = study.config
    searches = {method: config.search_config(method, config.supernet_seeds[0]) for method in config.methods}
    known = study.architectures()
    first = study.training(known[0].arch, config.seeds[0]).recipe
    data = [*(search.data for search in searches.values()), first.data]
    return {
        "config": {**config.model_dump(mode="json"), "storage": without_password(config.storage)},
        "folder": str(study.folder),
        "data_found": all(map(root_found, data)),
        "supernets": {
            method: {"method": search.learn.method, "steps": search.learn.steps, "epochs": search.learn.epochs}
            for method, search in searches.items()
        },
        "architectures": {str(one.arch): one.origin for one in known},
        "epochs": first.schedule.epochs,
        "jobs": study.total(),
        "complete": sum(job.is_complete() for job in study.jobs()),
    }


def plan_text(found: dict[str, Any]) -> str:
    """The plan as text, without the configuration."""
    config = found["config"]
    lines = [] if found["data_found"] else ["data      NOT FOUND: a folder of images that the study needs is missing"]
    seeds = len(config["supernet_seeds"])
    for name, one in found["supernets"].items():
        length = f"{one['epochs']} epochs" if one["epochs"] else f"{one['steps']} steps"
        lines.append(f"supernet  {name}: {one['method']}, {length}, with {seeds} {'seeds' if seeds > 1 else 'seed'}")
    lines.append(f"score     by {', '.join([*config['scores'], *map(in_words, config['sums'])])}")
    known, count = found["architectures"], config["count"]
    lines += [f"train     {arch}: {origin}" for arch, origin in known.items()]
    if len(known) < count:
        lines.append(f"train     {count - len(known)} more, which the supernets decide: the best of each method")
    trainings = count * len(config["seeds"])
    lines.append(f"          {found['epochs']} epochs each, with seeds {', '.join(map(str, config['seeds']))}")
    lines.append(
        f"jobs      {found['jobs']}: {len(found['supernets']) * seeds} supernets to learn and to score, {trainings} "
        f"trainings; {found['complete']} are complete"
    )
    return "\n".join([*lines, f"files     {found['folder']}/"])
