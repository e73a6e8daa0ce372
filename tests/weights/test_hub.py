from __future__ import annotations

import importlib.util
import json
import os
import pickle
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch
from huggingface_hub import ModelCard, hf_hub_download

from pinas_zoo import cli
from pinas_zoo.errors import (
    BrokenWeights,
    HubBusy,
    HubError,
    HubForbidden,
    HubNotFound,
    HubOffline,
    NotPublished,
    NotSafetensors,
    UserError,
    WrongHash,
    WrongShapes,
)
from pinas_zoo.models.pinas import ARCHS
from pinas_zoo.weights import hub as border
from pinas_zoo.weights import hub_client, published
from pinas_zoo.weights.builder import save_model_folder
from pinas_zoo.weights.model_folder import CARD_FILE, CONFIG_FILE, FACTS_FILE, WEIGHTS_FILE, read_config
from pinas_zoo.zoo import publish
from pinas_zoo.zoo.model_card import make_card
from tests.hub_server import READ_TOKEN, TOKEN, Fault, HubServer, sha256
from tests.networks import ROOT, same_weights, tiny_folder

pytestmark = pytest.mark.usefixtures("zoo_home")
SECONDS = 5.0  # within which an error must come
CLOSED = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def server():
    with HubServer() as server:
        yield server


@pytest.fixture
def hub(server, tmp_path, monkeypatch):
    """A running, empty Hub that HF_ENDPOINT points to, and an empty cache."""
    server.reset()
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    return server


@pytest.fixture
def two_tries(monkeypatch):
    """One pause of a second instead of two of three, where a test waits for many faults."""
    monkeypatch.setattr(hub_client, "TRIES", 2)


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    """A model folder of about 2 MB."""
    facts = {
        "dataset": "scikit-learn digits",
        "test_accuracy": 0.981,
        "seed": 3,
        "license": "apache-2.0",
        "config": {"root": "/home/me"},
    }
    return tiny_folder(tmp_path_factory.mktemp("net") / "winner", facts=facts)[0]


def contents(folder):
    return {f: (folder / f).read_bytes() for f in (CONFIG_FILE, WEIGHTS_FILE)}


def raises_soon(error, match, call):
    began = time.monotonic()
    with pytest.raises(error, match=match) as raised:
        call()
    assert time.monotonic() - began < SECONDS
    assert type(raised.value) is error  # its own, not a neighbour's
    return raised.value


# download -------------------------------------------------------------------------------------------------------------


def test_download_is_cached_and_pinned_needs_no_network(hub, net, monkeypatch):
    commit = hub.add("us/net", contents(net))
    path = border.download("us/net")
    assert path.read_bytes() == (net / WEIGHTS_FILE).read_bytes()
    hub.requests.clear()
    assert border.download(f"us/net@{commit}") == path
    assert hub.requests == []
    assert border.download("us/net") == path
    assert not any(line.startswith("GET") for line in hub.requests)
    monkeypatch.setenv("HF_ENDPOINT", CLOSED)
    assert border.download("us/net") == path  # the last one seen, as huggingface_hub has it
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert border.download("us/net") == path


def test_weights_of_timms_resnest_load_by_name_into_the_same_architecture(hub):
    theirs = timm.create_model("resnest50d").eval()
    hub.add("timm/resnest50d.in1k", {WEIGHTS_FILE: safetensors.torch.save(theirs.state_dict())})
    ours = timm.create_model("pinas", arch="1" * 16, pretrained="resnest50d.in1k").eval()
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(ours(images), theirs(images))
    assert ours.pretrained_cfg["interpolation"] == "bilinear"
    with pytest.raises(WrongShapes, match="they belong to another network"):
        timm.create_model("pinas_cls", pretrained="resnest50d.in1k")
    with pytest.raises(NotPublished, match=r"such as 'resnest50d\.in1k', got 'resnest50'"):
        timm.create_model("pinas_cls", pretrained="resnest50")


def test_offline_and_not_cached(hub, net, monkeypatch):
    hub.add("us/net", contents(net))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    raises_soon(HubOffline, "HF_HUB_OFFLINE.*unset", lambda: border.download("us/net"))
    raises_soon(HubOffline, "HF_HUB_OFFLINE.*unset", lambda: publish.pull("us/net", "nowhere"))
    assert hub.requests == []


@pytest.mark.parametrize("ref", ["net", "us/net@", "us/net/more", "us/../net", "", "us/n et"])
def test_repos_are_named_in_full(ref):
    with pytest.raises(UserError, match="owner/name"):
        border.download(ref)


RATE = {"ratelimit": '"resolvers";r=0;t=250'}
FAULTS = {
    "401": (Fault("HEAD", WEIGHTS_FILE, 401), HubForbidden, "401.*hf auth login"),
    "403": (Fault("HEAD", WEIGHTS_FILE, 403), HubForbidden, "403.*HF_TOKEN"),
    "404": (Fault("HEAD", WEIGHTS_FILE, 404), HubNotFound, "404.*HF_ENDPOINT"),
    "429": (Fault("HEAD", WEIGHTS_FILE, 429), HubBusy, "too many requests.*again later"),
    "429 with a pause": (Fault("HEAD", WEIGHTS_FILE, 429, RATE), HubBusy, "again in 250 s"),
    "500": (Fault("HEAD", WEIGHTS_FILE, 500), HubBusy, "500.*again later"),
    "503": (Fault("HEAD", WEIGHTS_FILE, 503), HubBusy, "503.*again later"),
    "429 in the file": (Fault("GET", "/store/", 429), HubBusy, "429"),
    "429 with a pause in the file": (Fault("GET", "/store/", 429, {"Retry-After": "100"}), HubBusy, "again in 100 s"),
    "500 in the file": (Fault("GET", "/store/", 500), HubBusy, "500"),
    "always cut": (Fault("GET", "/store/", cut_after=1000), HubError, "gave up after 2 tries"),
    "cut at once": (Fault("GET", "/store/", cut_after=0), HubError, "gave up after 2 tries"),
    "short file": (Fault("GET", "/store/", body=b"short"), HubError, "ended before all had come"),
    "wrong bytes": (Fault("GET", "/store/", body=b"\0" * 2_170_136), WrongHash, "deleted"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_faults_are_told_apart_within_seconds(hub, net, case, two_tries):
    fault, error, match = FAULTS[case]
    hub.add("us/net", contents(net))
    fault.seen = 0
    hub.faults.append(fault)
    raises_soon(error, match, lambda: border.download("us/net"))
    assert fault.seen
    hub.faults.clear()
    assert border.download("us/net").read_bytes() == (net / WEIGHTS_FILE).read_bytes()  # nothing bad was kept


def test_a_line_that_is_cut_once_is_taken_up_again(hub, net):
    hub.add("us/net", contents(net))
    hub.faults.append(Fault("GET", "/store/", cut_after=1000, times=1))
    assert border.download("us/net").read_bytes() == (net / WEIGHTS_FILE).read_bytes()


@pytest.mark.parametrize("no_range", [False, True])
def test_what_came_before_a_cut_is_not_asked_for_again(hub, net, no_range):
    hub.add("us/net", contents(net))
    hub.no_range = no_range
    hub.faults.append(Fault("GET", "/store/", cut_after=1_500_000, times=1))
    assert border.download("us/net").read_bytes() == (net / WEIGHTS_FILE).read_bytes()
    assert hub.ranges == [None, "bytes=1500000-"]


@pytest.mark.parametrize("kept", ["a part", "damaged"])
def test_a_download_that_was_killed_is_resumed(hub, net, tmp_path, kept):
    hub.add("us/net", contents(net))
    content = (net / WEIGHTS_FILE).read_bytes()
    path = border.download("us/net")
    blob = path.resolve()
    partial = blob.with_name(f"{blob.name}.incomplete")
    path.unlink()
    blob.unlink()
    partial.write_bytes(content[:1_000_000] if kept == "a part" else bytes(1_000_000))
    hub.ranges.clear()
    assert border.download("us/net").read_bytes() == content
    assert hub.ranges == ["bytes=1000000-", *([None] if kept == "damaged" else [])]
    assert not partial.exists()


def test_processes_that_want_the_same_file_download_it_once(hub, net):
    hub.add("us/net", contents(net))
    with ThreadPoolExecutor(4) as pool:
        paths = {future.result() for future in [pool.submit(border.download, "us/net") for _ in range(4)]}
    assert len(paths) == 1
    assert hub.ranges == [None]


def test_the_cache_is_shared_with_huggingface_hub(hub, net, tmp_path):
    commit = hub.add("us/net", contents(net))
    ours = border.download("us/net")
    theirs = hf_hub_download("us/net", WEIGHTS_FILE, cache_dir=tmp_path / "cache", local_files_only=True)
    assert Path(theirs) == ours
    hf_hub_download("us/net", CONFIG_FILE, cache_dir=tmp_path / "cache", endpoint=hub.url)
    hub.requests.clear()
    path = border.download("us/net", CONFIG_FILE)
    assert path.parent.name == commit
    assert not any(line.startswith("GET") for line in hub.requests)
    hub.add("us/net", {"new.txt": b"x"})  # another commit with the same weights
    assert border.download("us/net").resolve() == ours.resolve()
    assert not any(line.startswith("GET") for line in hub.requests)


@pytest.mark.parametrize("name", ["../../../evil.safetensors", "/evil.safetensors", "a/../../b.safetensors"])
def test_a_file_name_cannot_lead_out_of_the_cache(hub, net, tmp_path, name):
    hub.add("us/net", {**contents(net), name: b"x"})
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises((UserError, ValueError)):
        border.download("us/net", name)
    assert not [p for p in tmp_path.rglob("*.safetensors") if p not in before]


def test_a_silent_server_is_given_up(hub, net, monkeypatch):
    hub.add("us/net", contents(net))
    hub.faults.append(Fault("HEAD", "", silent=True))
    monkeypatch.setenv("HF_HUB_ETAG_TIMEOUT", "1")
    raises_soon(HubOffline, "no answer", lambda: border.download("us/net"))


def test_nobody_listens(monkeypatch, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    raises_soon(HubOffline, f"no answer from http://127.0.0.1:{port}.*HF_ENDPOINT", lambda: border.download("us/net"))
    raises_soon(HubOffline, "no answer", lambda: publish.pull("us/net", tmp_path / "w"))


def test_no_such_repo_revision_or_file(hub, net, monkeypatch):
    hub.add("us/net", {CONFIG_FILE: b"{}"})
    hub.add("us/private", contents(net), private=True)
    hub.add("us/gated", contents(net), gated=True)
    raises_soon(HubNotFound, "no such repo.*hf auth login", lambda: border.download("us/none"))
    raises_soon(HubNotFound, "no such repo.*hf auth login", lambda: border.download("us/private"))
    raises_soon(HubForbidden, "gated: ask for access", lambda: border.download("us/gated"))
    raises_soon(HubNotFound, "no such revision", lambda: border.download("us/net@v9"))
    raises_soon(HubNotFound, "no such file", lambda: border.download("us/net"))
    monkeypatch.setenv("HF_TOKEN", "hf_of_nobody")
    raises_soon(HubForbidden, "401.*hf auth login", lambda: border.download("us/private"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert border.download("us/private").is_file()
    assert border.download("us/gated").is_file()


def test_a_repo_of_pickles_is_refused_unread(hub, tmp_path):
    hub.add("us/net", {CONFIG_FILE: b"{}", "pytorch_model.bin": pickle.dumps({})})
    for call in (lambda: border.download("us/net"), lambda: publish.pull("us/net", tmp_path / "w")):
        raises_soon(NotSafetensors, r"found only pytorch_model\.bin.*carry code", call)
    assert not any(".bin" in line for line in hub.requests)


def test_a_file_that_rots_in_the_cache_is_not_loaded(hub, net):
    commit = hub.add("us/net", contents(net))
    path = border.download("us/net")
    data = path.read_bytes()
    path.resolve().write_bytes(data[:-4] + b"rot!")
    with pytest.raises(WrongHash, match="deleted"):
        border.download(f"us/net@{commit}")
    assert border.download(f"us/net@{commit}").read_bytes() == data


def test_a_mirror_without_hashes_is_not_trusted(hub, net):
    hub.add("us/net", contents(net))
    hub.weak_etags = True
    try:
        raises_soon(WrongHash, "announces none.*another mirror", lambda: border.download("us/net"))
    finally:
        hub.weak_etags = False


# pull -----------------------------------------------------------------------------------------------------------------


def test_pull_takes_a_network_and_nothing_else(hub, net, tmp_path):
    extras = {"evil.py": b"raise SystemExit", "pytorch_model.bin": b"x", CARD_FILE: b"---\n---\ncard", "a/b.txt": b"x"}
    commit = hub.add("us/net", {**contents(net), **extras})
    folder = publish.pull("us/net", tmp_path / "deep" / "w")
    assert sorted(p.name for p in folder.iterdir()) == sorted([CARD_FILE, CONFIG_FILE, WEIGHTS_FILE, FACTS_FILE])
    assert not any("evil" in line or ".bin" in line for line in hub.requests)
    origin = json.loads((folder / FACTS_FILE).read_text())["hub"]
    assert (origin["repo"], origin["revision"]) == ("us/net", commit)
    assert origin["sha256"][WEIGHTS_FILE] == sha256((net / WEIGHTS_FILE).read_bytes())
    loaded, original = (timm.create_model(f"local-dir:{f}", pretrained=True) for f in (folder, net))
    assert same_weights(loaded, original)


def test_pull_by_branch_and_by_commit(hub, net, tmp_path):
    old = hub.add("us/net", contents(net))
    other, _ = tiny_folder(tmp_path / "other", arch="2222")
    hub.add("us/net", contents(other))
    assert read_config(publish.pull("us/net", tmp_path / "a"))[0]["arch"] == "2222"
    assert read_config(publish.pull(f"us/net@{old}", tmp_path / "b"))[0]["arch"] == "3013"


def test_pull_whole_or_not_at_all(hub, net, tmp_path):
    hub.add("us/net", contents(net))
    other, _ = tiny_folder(tmp_path / "w", arch="2222")
    before = contents(other)
    for fault, error in (
        (Fault("GET", "/store/", cut_after=1000), HubError),
        (Fault("GET", "/store/", body=b"\0" * (net / WEIGHTS_FILE).stat().st_size), WrongHash),
        (Fault("GET", CONFIG_FILE, 500), HubBusy),
        (Fault("GET", "/api/models", 500), HubBusy),
        (Fault("GET", "/api/models", 429, RATE), HubBusy),
    ):
        hub.faults[:] = [fault]
        raises_soon(error, "Hub repo us/net", lambda: publish.pull("us/net", other))
        assert contents(other) == before
        assert [p.name for p in tmp_path.iterdir()] == ["w"]


def test_pull_checks_what_it_got(hub, net, tmp_path):
    files = contents(net)
    other, _ = tiny_folder(tmp_path / "other", arch="2222")
    hub.add("us/mixed", {**files, CONFIG_FILE: (other / CONFIG_FILE).read_bytes()})
    hub.add("us/broken", {**files, WEIGHTS_FILE: files[WEIGHTS_FILE][:-9]})
    hub.add("us/resnet", {**files, CONFIG_FILE: b'{"architecture": "resnet18", "pretrained_cfg": {}}'})
    hub.add("us/config", {**files, CONFIG_FILE: b"\xff\xfe"})
    for name, error, match in (
        ("us/mixed", WrongShapes, "us/mixed"),
        ("us/broken", BrokenWeights, "truncated"),
        ("us/resnet", UserError, "got 'resnet18'"),
        ("us/config", UserError, "damaged"),
    ):
        raises_soon(error, match, lambda name=name: publish.pull(name, tmp_path / "w"))
        assert not (tmp_path / "w").exists()


def test_pull_command(hub, net, tmp_path, monkeypatch, capsys):
    hub.add("us/net", contents(net))
    monkeypatch.chdir(tmp_path)
    assert cli.main(["pull", "us/net", "--register", "resnet50"]) == 2
    assert hub.requests == []  # a name that cannot be is found before the download
    assert cli.main(["pull", "us/net", "--register", "mine"]) == 0
    assert "pulled us/net at commit" in capsys.readouterr().out
    original = timm.create_model(f"local-dir:{net}", pretrained=True)
    assert same_weights(timm.create_model("mine", pretrained=True), original)
    assert cli.main(["pull", "us/none"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_pull_keeps_a_model_that_is_not_of_the_repo(hub, net, tmp_path, monkeypatch, capsys):
    hub.add("us/net", contents(net))
    monkeypatch.chdir(tmp_path)
    tiny_folder(tmp_path / "net", arch="2222")
    assert cli.main(["pull", "us/net"]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert read_config("net")[0]["arch"] == "2222"
    assert cli.main(["pull", "us/net", "--overwrite"]) == 0
    assert read_config("net")[0]["arch"] == "3013"
    assert cli.main(["pull", "us/net"]) == 0  # its own, taken anew


# push -----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def owner(hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    return hub


def test_dry_run_shows_and_sends_nothing(owner, net, capsys):
    assert cli.main(["push", str(net), "user/net"]) == 0
    out = capsys.readouterr().out
    assert owner.requests == []
    assert "nothing was sent; --yes" in out
    assert f"{WEIGHTS_FILE}     2,170,136 bytes  sha256 {sha256((net / WEIGHTS_FILE).read_bytes())}" in out
    assert "| layer4.0 | 2s2x40d |" in out


def test_push_is_one_commit_of_three_files(owner, net, capsys):
    assert cli.main(["push", str(net), "user/net", "--private", "--yes"]) == 0
    out = capsys.readouterr().out
    repo = owner.repos["user/net"]
    commit = repo.refs["main"]
    assert f'create_model("hf-hub:user/net@{commit}", pretrained=True)' in out
    assert repo.private
    assert len(repo.commits) == 2  # the one that makes the repo, and ours
    files = owner.files("user/net")
    assert sorted(files) == [".gitattributes", CARD_FILE, CONFIG_FILE, WEIGHTS_FILE]
    assert files[WEIGHTS_FILE] == (net / WEIGHTS_FILE).read_bytes()
    assert b"/home/me" not in b"".join(files.values())  # a run's own configuration stays at home
    assert f"sha256 {sha256(files[CARD_FILE])}" in out


def test_push_to_a_branch(owner, net):
    owner.add("user/net", {"LICENSE": b"x"})
    main = owner.repos["user/net"].refs["main"]
    publish.push(publish.plan_push(net, "user/net@trial"))
    assert owner.repos["user/net"].refs["main"] == main
    assert set(owner.files("user/net", "trial")) == {"LICENSE", CARD_FILE, CONFIG_FILE, WEIGHTS_FILE}


def test_card_is_read_by_the_hub(owner, net):
    publish.push(publish.plan_push(net, "user/net"))
    card = ModelCard(owner.files("user/net")[CARD_FILE].decode())
    (result,) = card.data.eval_results
    assert (result.dataset_name, result.dataset_split) == ("scikit-learn digits", "test")
    assert (result.metric_type, result.metric_value) == ("accuracy", 0.981)
    assert card.data.license == "apache-2.0"
    assert card.data.library_name == "timm"
    for fact in ("533,306", "`3013`", "Peng, Jiefeng", "hf-hub:user/net", "| Trained on | scikit-learn digits |"):
        assert fact in card.text


def test_card_without_metrics_claims_none(tmp_path):
    folder, _ = tiny_folder(tmp_path / "w")
    card = ModelCard(publish.plan_push(folder, "us/net").card)
    assert card.data.eval_results is None
    assert "No metrics are recorded" in card.text
    assert "| Trained on | not recorded |" in card.text
    assert card.data.license == "other"
    assert "| Licence | not recorded |" in card.text
    facts = {
        "metrics": [{"type": "accuracy", "value": 0.5, "name": "top-1", "dataset": {"name": "A | B", "id": "us/ab"}}]
    }
    (result,) = ModelCard(publish.plan_push(folder, "us/net", facts).card).data.eval_results
    assert (result.dataset_type, result.metric_name) == ("us/ab", "top-1")
    for facts, match in (
        ({"metrics": {"accuracy": 1}}, "data set"),
        ({"metrics": [1]}, "metrics as"),
        ({"dataset": 3}, "data set"),
    ):
        with pytest.raises(UserError, match=match):
            publish.plan_push(folder, "us/net", facts)


def test_card_of_the_papers_network():
    args = {"arch": ARCHS["pinas_alpha"], "num_classes": 1000}
    card = make_card("us/alpha", args, {"input_size": (3, 224, 224)}, {}, {})
    assert "27,046,278" in card
    assert card.count("| layer") == 1 + 16
    assert "license: other" in card


def test_push_needs_a_token_that_may_write(hub, net, monkeypatch):
    plan = publish.plan_push(net, "user/net")
    raises_soon(HubForbidden, "logged in.*hf auth login", lambda: publish.push(plan))
    assert hub.requests == []
    for token in (READ_TOKEN, "hf_of_nobody"):
        monkeypatch.setenv("HF_TOKEN", token)
        raises_soon(HubForbidden, "token that may write", lambda: publish.push(plan))
    assert hub.repos == {}


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault("POST", "/api/repos/create", 500), HubBusy),
        (Fault("POST", "/preupload/", 500), HubBusy),
        (Fault("POST", "/preupload/", 429, RATE), HubBusy),
        (Fault("POST", "/objects/batch", 503), HubBusy),
        (Fault("PUT", "/upload/", 500), HubBusy),
        (Fault("POST", "/commit/", 500), HubBusy),
        (Fault("POST", "/commit/", 403), HubForbidden),
        (Fault("HEAD", WEIGHTS_FILE, headers={}, status=404), HubNotFound),
    ],
)
def test_push_fails_within_seconds_and_not_by_half(owner, net, fault, error, two_tries):
    plan = publish.plan_push(net, "user/net")
    fault.seen = 0
    owner.faults.append(fault)
    raises_soon(error, "user/net", lambda: publish.push(plan))
    if fault.method != "HEAD" and "user/net" in owner.repos:
        assert list(owner.files("user/net")) == [".gitattributes"]
    owner.faults.clear()
    publish.push(publish.plan_push(net, "user/net"))  # the same command again completes it
    assert owner.files("user/net")[WEIGHTS_FILE] == (net / WEIGHTS_FILE).read_bytes()


@pytest.mark.parametrize("part", ["/preupload/", "/objects/batch", "/commit/"])
def test_push_to_a_silent_server_is_given_up(owner, net, monkeypatch, part):
    monkeypatch.setitem(hub_client.TIMEOUTS, "read", 1.0)
    owner.faults.append(Fault("POST", part, silent=True))
    raises_soon(HubOffline, "no answer", lambda: publish.push(publish.plan_push(net, "user/net")))


def test_push_of_what_is_there_already_makes_no_commit(owner, net):
    first = publish.push(publish.plan_push(net, "user/net"))
    owner.requests.clear()
    assert publish.push(publish.plan_push(net, "user/net")) == first
    assert not any("/commit/" in line or line.startswith("PUT") for line in owner.requests)


def test_push_rides_over_a_passing_fault(owner, net):
    owner.faults.append(Fault("PUT", "/upload/", 503, times=1))
    publish.push(publish.plan_push(net, "user/net"))
    assert WEIGHTS_FILE in owner.files("user/net")


def test_push_of_a_folder_that_is_not_sound(owner, tmp_path):
    folder, _ = tiny_folder(tmp_path / "w")
    plan = publish.plan_push(folder, "user/net")
    data = (folder / WEIGHTS_FILE).read_bytes()
    (folder / WEIGHTS_FILE).write_bytes(data[:-4] + b"late")
    raises_soon(WrongHash, "changed after", lambda: publish.push(plan))
    (folder / WEIGHTS_FILE).write_bytes(data[:-4])
    raises_soon(BrokenWeights, "truncated", lambda: publish.plan_push(folder, "user/net"))
    assert owner.requests == []
    assert cli.main(["push", str(tmp_path / "none"), "user/net"]) == 2
    assert cli.main(["push", str(folder), "net"]) == 2


# what is not ours -----------------------------------------------------------------------------------------------------


def session_state():
    """The HTTP client of huggingface_hub as other users in this process see it."""
    from huggingface_hub.utils import get_session

    client = get_session()
    return id(client), {k: list(v) for k, v in client.event_hooks.items()}, client.timeout, dict(client.headers)


def test_the_shared_http_client_is_left_alone_also_during_a_transfer(owner, net, tmp_path, monkeypatch):
    """Looked at from another thread while each request of a download, a pull and a push is being answered."""
    before, seen, done = session_state(), [], threading.Event()

    class Watched(list):
        def append(self, line):
            seen.append((line.partition(" ")[0], session_state()))  # in the server's thread, the client is waiting

    monkeypatch.setattr(owner, "requests", Watched())
    owner.add("us/net", contents(net))
    owner.faults.append(Fault("GET", "/store/", cut_after=1000, times=1))
    thread = threading.Thread(target=lambda: (border.download("us/net"), done.set()))
    thread.start()
    thread.join(SECONDS)
    assert done.is_set()
    publish.pull("us/net", tmp_path / "w")
    other, _ = tiny_folder(tmp_path / "other", arch="2222")  # not in the server's store as yet
    publish.push(publish.plan_push(other, "user/net@trial"))
    assert {method for method, _ in seen} == {"HEAD", "GET", "POST", "PUT"}
    assert all(state == before for _, state in seen)
    assert session_state() == before


def test_the_session_that_the_user_set_up_is_used(hub, net):
    """Proxies and certificates are set there."""
    from huggingface_hub.utils import get_session, set_client_factory
    from huggingface_hub.utils._http import default_client_factory

    agents = []
    client, hooks = type(get_session()), {"request": [lambda request: agents.append(request.headers["user-agent"])]}
    set_client_factory(lambda: client(event_hooks=hooks))
    try:
        hub.add("us/net", contents(net))
        assert border.download("us/net").is_file()
    finally:
        set_client_factory(default_client_factory)
    assert len(agents) == len(hub.requests) == 3
    assert all("pinas-zoo/" in agent for agent in agents)


# publishing, and another user -----------------------------------------------------------------------------------------


def publish_main():
    spec = importlib.util.spec_from_file_location("publish", ROOT / "tools" / "publish.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


def test_publish_prints_a_row_that_loads(owner, net, tmp_path, monkeypatch, capsys):
    main = publish_main()
    assert main([str(net), "user/alpha", "--name", "pinas_alpha"]) == 2  # not that architecture
    assert "expected pinas_alpha, arch 3013231203213032" in capsys.readouterr().err
    for classes in (10, 0):  # that architecture, another head
        other = timm.create_model("pinas_alpha", num_classes=classes).state_dict()
        model_args = {"arch": ARCHS["pinas_alpha"], "num_classes": classes}
        folder = save_model_folder(tmp_path / f"alpha{classes}", other, model_args, {})
        assert main([str(folder), "user/alpha", "--name", "pinas_alpha"]) == 2
        assert "with 1000 classes" in capsys.readouterr().err
    model = timm.create_model("pinas_alpha")
    folder = save_model_folder(
        tmp_path / "alpha", model.state_dict(), {"arch": ARCHS["pinas_alpha"], "depths": (3, 4, 6, 3)}, {}
    )
    assert main([str(folder), "user/alpha", "--name", "pinas_cls"]) == 0
    assert owner.requests == []
    capsys.readouterr()
    assert main([str(folder), "user/alpha", "--name", "pinas_cls", "--yes"]) == 0
    row = capsys.readouterr().out.partition(".py:\n")[2]
    added = eval("{" + row + "}", {"Published": published.Published})
    monkeypatch.setitem(published.PUBLISHED, *next(iter(added.items())))
    assert same_weights(timm.create_model("pinas_cls", pretrained=True), model)


ANOTHER_USER = """
import json, sys, time
import pinas_zoo, timm
out = {}
for name in json.loads(sys.argv[1]):
    began = time.monotonic()
    try:
        model = timm.create_model("hf-hub:" + name, pretrained=True)
        out[name] = [model.arch, float(model.fc.weight.double().sum()), model.num_classes]
    except Exception as error:
        out[name] = [type(error).__name__, str(error)]
    out[name].append(time.monotonic() - began)
print(json.dumps(out))
"""


def another_user(hub, home, names, **env):
    """Load hf-hub: names in a process with an empty cache, no token and only `import pinas_zoo`."""
    clean = {k: v for k, v in os.environ.items() if k not in ("HF_TOKEN", "HF_HUB_CACHE")}
    done = subprocess.run(
        [sys.executable, "-c", ANOTHER_USER, json.dumps(names)],
        env={**clean, "HF_HOME": str(home), "HF_ENDPOINT": hub.url, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1",
             "PINAS_ZOO_HOME": str(home / "zoo"), **env},
        capture_output=True, text=True, timeout=120, cwd=home.parent, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_another_user_loads_what_was_pushed(owner, net, tmp_path, monkeypatch):
    assert cli.main(["push", str(net), "user/net", "--yes"]) == 0
    commit = owner.repos["user/net"].refs["main"]
    config = (net / CONFIG_FILE).read_bytes()
    monkeypatch.chdir(tmp_path)
    evil = b"cos\nsystem\n(S'touch evil.txt'\ntR."
    owner.add("user/pickle", {CONFIG_FILE: config, "pytorch_model.bin": evil})
    owner.add("user/broken", {CONFIG_FILE: config, WEIGHTS_FILE: (net / WEIGHTS_FILE).read_bytes()[:-5]})
    model = timm.create_model(f"local-dir:{net}", pretrained=True)
    expected = ["3013", float(model.fc.weight.detach().double().sum()), 10]
    names = ["user/net", f"user/net@{commit}", "user/pickle", "user/broken", "user/none"]
    got = another_user(owner, tmp_path / "home", names)
    assert got["user/net"][:3] == got[f"user/net@{commit}"][:3] == expected
    assert got["user/pickle"][0] == "NotSafetensors"
    assert got["user/broken"][0] == "BrokenWeights"
    assert got["user/none"][0] == "RepositoryNotFoundError"  # timm fetches config.json itself, before us
    assert all(values[-1] < SECONDS for values in got.values())
    assert not (tmp_path / "evil.txt").exists()
    owner.requests.clear()
    got = another_user(owner, tmp_path / "home", ["user/net", f"user/net@{commit}", "user/other"], HF_HUB_OFFLINE="1")
    assert got["user/net"][:3] == got[f"user/net@{commit}"][:3] == expected
    assert got["user/other"][0] == "LocalEntryNotFoundError"
    assert owner.requests == []
