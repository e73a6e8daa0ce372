"""``pinas-zoo push``: show what would be sent to the Hub; send it with --yes."""

from __future__ import annotations

import argparse

from pinas_zoo.terminal import escape, print_json, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Send a model folder to the Hub as config.json, model.safetensors and a model card of facts: "
        "the architecture as a table, parameters, multiply-adds, what provenance.json records of training and metrics, "
        "licence, citation, how to load it. Without --yes nothing is sent: files, sizes, sha256 and card are shown."
    )
    parser.add_argument("folder", metavar="FOLDER", help="a timm model folder, such as work_dirs/digits/winner")
    parser.add_argument(
        "repo", metavar="OWNER/NAME", help="the repo, created if it does not exist; OWNER/NAME@BRANCH for a branch"
    )
    add_options(parser)
    parser.add_argument("--json", action="store_true", help="print JSON: repo, files, card, whether they were sent")
    parser.set_defaults(run=run)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that tools/publish.py has too."""
    parser.add_argument("--yes", action="store_true", help="send the files (default: only show them)")
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
    parser.add_argument("--message", metavar="TEXT", help="commit message")


def run(args: argparse.Namespace) -> None:
    if args.json:
        print_json(send_silently(args))
        return
    sent = send(args)
    if sent:
        plan, commit = sent
        say(f'timm.create_model("hf-hub:{plan.repo}@{commit}", pretrained=True)  # after import pinas_zoo')


def send(args: argparse.Namespace) -> tuple[Any, str] | None:
    """Show what would be sent; with --yes send it, and return the plan and the commit."""
    from pinas_zoo.weights.hub_client import endpoint
    from pinas_zoo.zoo import publish

    plan = publish.plan_push(args.folder, args.repo, facts_of(args))
    show(plan)
    if not args.yes:
        say("\nnothing was sent; --yes sends it")
        return None
    commit = publish.push(plan, private=args.private, message=args.message)
    say(f"\nsent as commit {commit} to {endpoint()}/{plan.repo}")
    return plan, commit


def send_silently(args: argparse.Namespace) -> dict[str, Any]:
    """As :func:`send`, but print nothing; returns what is sent, or would be."""
    from pinas_zoo.zoo import publish

    plan = publish.plan_push(args.folder, args.repo, facts_of(args))
    commit = publish.push(plan, private=args.private, message=args.message) if args.yes else None
    return {
        "repo": plan.repo,
        "branch": plan.branch,
        "files": [{"path": file.path, "size": file.size, "sha256": file.sha256} for file in plan.files],
        "card": plan.card,
        "sent": commit is not None,
        "commit": commit,
        "load": commit and f'timm.create_model("hf-hub:{plan.repo}@{commit}", pretrained=True)',
    }


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
    say(f"to {plan.repo}, branch {plan.branch}:")
    for file in plan.files:
        say(f"  {escape(file.path):18} {file.size:>12,} bytes  sha256 {file.sha256}")
    say("\nREADME.md:\n")
    say("\n".join(plan.card.splitlines()))


def _metric(text: str) -> tuple[str, float]:
    import math

    kind, _, value = text.partition("=")
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not kind.strip() or not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"expected a metric such as accuracy=0.982, got {text!r}")
    return kind.strip(), number
