"""``pinas-zoo push``: show what would go to the Hub; send it with --yes."""

from __future__ import annotations

import argparse
from typing import Any


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "push",
        help="a model folder to the Hub, with a model card (dry run unless --yes)",
        description="Send a model folder to the Hub as config.json, model.safetensors and a model card of facts: "
        "the architecture as a table, parameters, multiply-adds, what provenance.json records of training and metrics, "
        "licence, citation, how to load it. Without --yes nothing is sent: files, sizes, sha256 and card are shown.",
    )
    parser.add_argument("folder", metavar="FOLDER", help="a timm model folder, such as work_dirs/digits/winner")
    parser.add_argument(
        "repo", metavar="OWNER/NAME", help="the repo, made if it is not there; OWNER/NAME@BRANCH for a branch"
    )
    add_options(parser)
    parser.set_defaults(run=run)


def add_options(parser: argparse.ArgumentParser) -> None:
    """What is also for tools/publish.py."""
    parser.add_argument("--yes", action="store_true", help="send it (default: show only)")
    parser.add_argument("--private", action="store_true", help="make a new repo private (default: public)")
    parser.add_argument(
        "--dataset", metavar="NAME", help="training set, for the card (default: as provenance.json says)"
    )
    parser.add_argument(
        "--metric",
        metavar="TYPE=VALUE",
        action="append",
        type=_metric,
        help="for the card and the Hub, such as accuracy=0.982; may be repeated (default: as provenance.json says)",
    )
    parser.add_argument(
        "--license", metavar="ID", help="the Hub's id of the weights' licence (default: as config.json says)"
    )
    parser.add_argument("--message", metavar="TEXT", help="of the commit")


def run(args: argparse.Namespace) -> None:
    sent = send(args)
    if sent:
        plan, commit = sent
        print(f'timm.create_model("hf-hub:{plan.repo}@{commit}", pretrained=True)  # after import pinas_zoo')


def send(args: argparse.Namespace) -> tuple[Any, str] | None:
    """Show what would be sent; with --yes send it, and return what was sent and its commit."""
    from pinas_zoo.weights.hub_client import endpoint
    from pinas_zoo.zoo import publish

    plan = publish.plan_push(args.folder, args.repo, facts_of(args))
    show(plan)
    if not args.yes:
        print("\nnothing was sent; --yes sends it")
        return None
    commit = publish.push(plan, private=args.private, message=args.message)
    print(f"\nsent as commit {commit} to {endpoint()}/{plan.repo}")
    return plan, commit


def facts_of(args: argparse.Namespace) -> dict[str, Any]:
    """The facts that the options give, for the card."""
    facts: dict[str, Any] = {}
    if args.dataset:
        facts["dataset"] = args.dataset
    if args.metric:
        facts["metrics"] = dict(args.metric)
    if args.license:
        facts["license"] = args.license
    return facts


def show(plan: Any) -> None:
    """Print the files of a plan and its card."""
    print(f"to {plan.repo}, branch {plan.branch}:")
    for file in plan.files:
        print(f"  {file.path:18} {file.size:>12,} bytes  sha256 {file.sha256}")
    print("\nREADME.md:\n")
    print(plan.card, end="")


def _metric(text: str) -> tuple[str, float]:
    kind, _, value = text.partition("=")
    try:
        return kind.strip(), float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a metric such as accuracy=0.982, got {text!r}") from None
