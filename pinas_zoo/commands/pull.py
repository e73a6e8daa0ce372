"""``pinas-zoo pull``: a network from the Hub into a model folder."""

from __future__ import annotations

import argparse
from typing import Any


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "pull",
        help="a network from the Hub into a model folder, checked",
        description="Download config.json, model.safetensors and README.md of a Hub repo at one commit, check their "
        "hashes and that the weights fit the network, and write a model folder, whole or not at all. Nothing else of "
        "the repo is fetched and nothing of it is executed. A folder that was pulled from the same repo is replaced; "
        "any other model is kept unless --overwrite is given. HF_ENDPOINT names a mirror.",
    )
    parser.add_argument("repo", metavar="OWNER/NAME", help="OWNER/NAME, or OWNER/NAME@REVISION (branch, tag or commit)")
    parser.add_argument("folder", metavar="FOLDER", nargs="?", help="where (default: NAME in the current folder)")
    parser.add_argument("--register", metavar="NAME", help="also keep it under this name (see `pinas-zoo register`)")
    parser.add_argument("--overwrite", action="store_true", help="replace a model that is not from this repo")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    from pathlib import Path

    from pinas_zoo.errors import UserError
    from pinas_zoo.weights.hub_client import split_repo
    from pinas_zoo.weights.model_folder import CONFIG_FILE, read_facts
    from pinas_zoo.zoo import publish, registry

    if args.register:
        registry.check_name(args.register)  # before the download
    repo, _ = split_repo(args.repo)
    place = Path(args.folder or repo.partition("/")[2])
    if (place / CONFIG_FILE).exists() and not args.overwrite:
        origin = read_facts(place).get("hub")
        if not isinstance(origin, dict) or origin.get("repo") != repo:
            raise UserError(
                f"expected a new place or one that was pulled from {repo}, got {place}, which holds another model; "
                "give another, or --overwrite"
            )
    folder = publish.pull(args.repo, place)
    origin = read_facts(folder)["hub"]
    print(f"pulled {origin['repo']} at commit {origin['revision']} into {folder}")
    if args.register:
        registry.register(args.register, folder=folder)
        print(f'timm.create_model("{args.register}", pretrained=True)  # after import pinas_zoo')
    else:
        print(f'timm.create_model("local-dir:{folder}", pretrained=True)  # after import pinas_zoo')
