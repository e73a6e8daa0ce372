"""Values on a command line and in configurations: settings, architectures, names, storages, Python configurations."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pinas_zoo.arch import Arch
from pinas_zoo.data.shards import expand
from pinas_zoo.errors import UserError
from pinas_zoo.search.config import load_config, parse_overrides
from pinas_zoo.search.plan import plan
from pinas_zoo.search.replace_method import load_with_method
from pinas_zoo.search.study.storage import check_storage
from pinas_zoo.weights.hub_client import split_repo
from pinas_zoo.zoo.registry import check_form, check_name
from tests.hostile.inputs import Accepted, Either, Input, Make, Promise, Refused, given, table

TINY = """
name = "tiny"
space = dict(type="resnest50", depths=(1, 1, 1, 1), widths=(16, 16, 16, 16), stem_width=4)
data = dict(type="digits", image_size=16, val_per_class=10, max_train=200)
learn = dict(method="pinas", options=dict(queue_size=32, dim=16), steps=3, batch_size=16)
linear = dict(steps=2, batch_size=16, lr=1.0)
explore = dict(evaluations=4, recalibration_images=32, batch_size=64)
train = dict(epochs=1, batch_size=64)
"""


def dry_run(settings: str | tuple[str, ...]) -> str:
    """What ``search tiny.py --dry-run --set SETTING …`` prints."""
    Path("tiny.py").write_text(TINY)
    words = (settings,) if isinstance(settings, str) else settings
    config = load_with_method(Path("tiny.py"), parse_overrides(list(words)), lambda text: None)
    config.shown().model_dump_json()
    return plan(config, Path("run")).text()


REFUSED_SETTINGS = [
    "data.root=/dev/null",  # beside digits, which have no folder
    "learn.lr=1e999", "learn.lr=-1e999", "learn.lr=-1", "learn.lr='a'", "learn.lr=None", "learn.lr=[1]", "learn.lr=1j",
    "learn.weight_decay=1e999", "learn.steps=0", "learn.steps=-5", "learn.steps=1.5", "learn.steps=" + "9" * 400, "learn.batch_size=0",
    "learn.batch_size=100000000000", "learn.batch_size=True and 1", "learn.options.dim=-1", "learn.options.dim=0",
    "learn.options.dim=1000000000000", "learn.options.dim=1.5", "learn.options.dim=None", "learn.options.hidden=-1", "learn.options.queue_size=-1",
    "learn.options.queue_size=0.5", "learn.options.queue_size=[]", "learn.options.momentum=2", "learn.options.momentum=-1", "learn.options.temperature=0",
    "learn.options.temperature=-1", "learn.options.temperature=1e999", "learn.options.temperature='hot'", "learn.options.nothing=1", "learn.options={1: 2}",
    "learn.options=3", "learn.options=[]", "learn=3", "learn.method=../../os", "learn.method=os", "learn.method=", "learn.method=nothere.py", "learn.method=/dev/zero",
    "learn.method=3", "space.depths=(100000000,1,1,1)", "space.depths=(1,1,1)", "space.depths=1", "space.depths=(1,1,1,0)", "space.depths=(1,1,1,-1)",
    "space.depths=(1,1,1,1.5)", "space.depths=((1,),1,1,1)", "space.depths='1111'", "space.depths=(1000,1000,1000,1000)", "space.widths=(16,32,48,1000000)",
    "space.widths=(65536,65536,65536,65536)", "space.widths={1,2,3,4}", "space.widths=(0,16,16,16)", "space.widths=(16,16,16)", "space.stem_width=0", "space.stem_width=-4",
    "space.stem_width='8'", "space.stem_width=1e999", "space.stem_width=3.5", "space.stem_width=" + "9" * 30, "space.type=../../os", "space.type=..os", "space.type=os",
    "space.type=nothere.py", "space.type=/dev/zero", "space.type=evil.nothing", "space.type=pinas_zoo.search.spaces.resnest50", "space.type=.", "space.type=__init__",
    "space.subspace=(0,9)", "space.subspace=()", "space.subspace=(0,0)", "space.subspace=(-1,)", "space.subspace=5", "space.nothing=1", "space=None",
    "data.mean=(1e999,0,0)", "data.std=(0,0,0)", "data.std=(1e999,1,1)", "data.mean=(0.5,0.5)", "data.image_size=100000000", "data.image_size=0",
    "data.image_size=-1", "data.workers=1000000", "data.workers=-1", "data.memory_gib=1e999", "data.memory_gib=-1", "data.crop_pct=0", "data.crop_pct=2", "data.crop_pct=1e-300*0",
    "data.interpolation=no", "data.val_per_class=0", "data.val_per_class=-1", "data.max_train=0", "data.root=\udce9", "data.nothing=1", "data=[]",
    "views.scale=(0,1)", "views.scale=(1,0.5)", "views.scale=(0.5,2)", "views.ratio=(0,1)", "views.jitter=(1,1,1,9)", "views.jitter=(-1,0,0,0)", "views.flip=2", "views.blur_sigma=(0.1,1e999)",
    "views.blur_sigma=(1,0)", "views.gray_p=-0.1", "linear.lr=1e999", "linear.steps=-1", "explore.batch=0", "explore.evaluations=0", "explore.evaluations=-1", "explore.evaluations=1e999",
    "explore.arch2vec.hidden=65536", "explore.arch2vec.layers=64", "explore.arch2vec.latent=4096", "explore.arch2vec.pool=10000000", "explore.arch2vec.batch_size=1048576", "explore.arch2vec.lr=1e999",
    "explore.max_flops_g=1e999", "explore.max_flops_g=-1", "explore.score=evil", "explore.score=",
    "explore.score=[]", "explore.score=()", "explore.score=['evil']", "explore.score=[['flops',-1]]", "explore.score=[['flops',1e999]]", "explore.score=['flops','flops']",
    "explore.score=[[]]", "explore.score=[[[]]]", "explore.score={'flops':1}", "explore.score=['flops',0.5]", "explore.score=3", "explore.score=[None]", "explore.sampler=evil", "explore.recalibration_images=0", "explore.recalibration_images=-1",
    "explore.batch_size=0", "explore.storage=3", "train.lr=1e999", "train.epochs=-1", "train.batch_size=-1", "seed=-1", "seed=1.5", "seed=1e999", "seed='x'", "seed=" + "9" * 5000,
    "name=b'tiny'", "name=../x", "name=", "name=a/b", "name=.", "name=a\0b", "name=" + "a" * 5000, "until=nowhere", "log.tensorboard=1j", "log=x", "a.b.c.d=1", "learn.lr.x=1",
    "__class__=1", "learn.__class__.x=1", "learn.steps.__init__=1", "_base_=x.py", "streams=7", "version=3",
]  # fmt: skip
ACCEPTED_SETTINGS = [
    "learn.steps=1", "learn.lr=1e-9", "learn.options.temperature=100", "data.workers=64", "data.mean=(0.5,0.5,0.5)", "seed=0", "seed=4294967295",
    "space.subspace=(0,1)", "explore.evaluations=1000000000", "name=a", "learn.method=spos", "learn.method=fairnas", "until=learn",
]  # fmt: skip

# Configurations that are no files of Python


def configuration(content: bytes | str, name: str = "cfg.py", **others: str) -> Make:
    def make(folder: Path) -> Path:
        for other, text in others.items():
            (folder / f"{other}.py").write_text(text)
        path = folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return make


RUNS_CODE = "import os\nopen('EXECUTED', 'w')\n"
CONFIGURATIONS: dict[str, tuple[Make, Promise]] = {
    "sound": (configuration(TINY), Accepted(lambda c: c.name == "tiny")),
    "sound-json": (configuration(json.dumps({"name": "a", "data": {"type": "digits"}}), "config.json"), Either()),
    "with-base": (configuration("_base_ = 'base.py'\nname = 'b'\n", base=TINY), Accepted(lambda c: c.name == "b")),
    "empty": (configuration(""), Either()),
    "not-utf8": (configuration(b"name = '\xff'"), Refused()),
    "nul": (configuration(b"name = 'a\0b'"), Refused()),
    "syntax": (configuration("name = = 3"), Refused()),
    "indent": (configuration("  name = 3"), Refused()),
    "deep": (configuration("a = " + "[" * 5000 + "]" * 5000), Refused()),
    "deep-parentheses": (configuration("a = " + "(" * 500 + ")" * 500), Refused()),
    "exit": (configuration(TINY + "\nimport sys\nsys.exit(0)\n"), Refused()),
    "exit-os": (configuration(TINY + "\nraise SystemExit\n"), Refused()),
    "divides": (configuration(TINY + "\nname = 1 / 0\n"), Refused()),
    "recursion": (configuration(TINY + "\ndef f():\n    return f()\nname = f()\n"), Refused()),
    "import-missing": (configuration(TINY + "\nimport nosuchmodule\n"), Refused("nosuchmodule")),
    "import-from-missing": (configuration(TINY + "\nfrom json import nothing\n"), Refused("nothing")),
    "base-missing": (configuration("_base_ = 'gone.py'"), Refused("gone")),
    "base-itself": (configuration("_base_ = 'cfg.py'"), Refused()),
    "base-circle": (configuration("_base_ = 'a.py'", a="_base_ = 'b.py'", b="_base_ = 'a.py'"), Refused()),
    "base-number": (configuration("_base_ = 3"), Refused()),
    "base-folder": (configuration("_base_ = '.'"), Refused()),
    "base-device": (configuration("_base_ = '/dev/zero'"), Refused()),
    "base-nul": (configuration("_base_ = 'a\\0.py'"), Refused()),
    "base-url": (configuration("_base_ = 'http://127.0.0.1:9/x.py'"), Refused()),
    "bases-many": (configuration("_base_ = ['a.py'] * 3", a=TINY), Either()),
    "bases-2e20": (configuration("_base_ = ['b0.py', 'b0.py']", **{f"b{k}": f"_base_ = ['b{k + 1}.py', 'b{k + 1}.py']" for k in range(20)}, b20=TINY), Refused()),
    "values-of-code": (configuration(TINY + "\nlearn['lr'] = lambda: 3\n"), Refused()),
    "values-of-modules": (configuration(TINY + "\nimport os\nlearn['lr'] = os\n"), Refused()),
    "values-nan": (configuration(TINY + "\nlearn['lr'] = float('nan')\n"), Refused()),
    "itself-inside": (configuration(TINY + "\nlearn['options']['x'] = learn\n"), Refused()),
    "unknown-key": (configuration(TINY + "\nlern = dict()\n"), Refused("lern")),
    "json-deep": (configuration("[" * 100_000, "config.json"), Refused()),
    "json-list": (configuration("[]", "config.json"), Refused()),
    "json-null": (configuration("null", "config.json"), Refused()),
    "json-nan": (configuration('{"name": "a", "seed": NaN}', "config.json"), Refused()),
    "json-digits": (configuration('{"name": "a", "seed": ' + "9" * 5000 + "}", "config.json"), Refused()),
    "json-names-a-file": (configuration(json.dumps({"name": "a", "space": {"type": "evil.py"}}), "config.json", evil=RUNS_CODE), Refused("not executed")),
    "json-names-a-method": (configuration(json.dumps({"name": "a", "learn": {"method": "./evil.py"}}), "config.json", evil=RUNS_CODE), Refused("not executed")),
    "json-base": (configuration(json.dumps({"name": "a", "_base_": "evil.py"}), "config.json", evil=RUNS_CODE), Refused()),
    "json-reserved": (configuration(json.dumps({"name": "a", "text": 3}), "config.json"), Refused()),
    "json-template": (configuration('{"name": "{{ fileDirname }}"}', "config.json"), Either()),
    "json-empty": (configuration("", "config.json"), Refused()),
    "json-huge": (configuration(b'{"name": "' + b"a" * (17 * 2**20) + b'"}', "config.json"), Refused("MiB")),
    "yaml": (configuration("!!python/object/apply:os.system ['touch EXECUTED']", "cfg.yaml"), Refused()),
    "yaml-bomb": (configuration("a: &a [x,x]\nb: &b [*a,*a]\n" * 20, "cfg.yaml"), Refused()),
    "pickle": (configuration(b"cos\nsystem\n(S'touch EXECUTED'\ntR.", "cfg.pkl"), Refused()),
    "txt": (configuration("x", "cfg.txt"), Refused()),
    "no-suffix": (configuration("x", "cfg"), Refused()),
    "folder": (lambda folder: folder, Refused()),
    "device": (lambda folder: Path("/dev/zero"), Refused()),
    "gone": (lambda folder: folder / "gone.py", Refused()),
}  # fmt: skip


# Architectures, names, patterns and storages


def arch(text: Any) -> str:
    found = Arch.parse(text, 4, 4)
    assert Arch.parse(str(found)) == found
    return str(found)


ARCHS: dict[str, tuple[Make, Promise]] = {
    "text": (given("0123"), Accepted(lambda a: a == "0123")),
    "list": (given([0, 1, 2, 3]), Accepted(lambda a: a == "0123")),
    "number": (given(3210), Accepted(lambda a: a == "3210")),
    **{f"bad-{name}": (given(value), Refused()) for name, value in {
        "empty": "", "short": "012", "long": "01234", "huge": "0" * 10**6, "letter": "01z3", "capital": "012A", "dot": "../x", "newline": "012\n", "escape": "\x1b[2J", "fullwidth": "\uff10123", "arabic": "\u0660123",
        "superscript": "\u00b2123", "nul": "012\0", "minus": "-123", "surrogate": "012\udce9", "none": None, "float": 123.0, "nan": float("nan"), "true": True, "negative": -123, "huge-number": 10**5000, "bytes-short": b"01",
        "list-of-floats": [0.5, 1, 2, 3], "list-of-nan": [float("nan")] * 4, "list-of-inf": [float("inf")] * 4, "list-of-none": [None] * 4, "list-of-lists": [[0], [1], [2], [3]], "list-of-text": ["a", "b", "c", "d"],
        "list-of-true": [True, False, True, True], "list-negative": [0, 1, 2, -1], "list-beyond": [0, 1, 2, 4], "list-huge": [0, 1, 2, 10**400], "dict": {"a": 1}, "object": object(), "complex": 1j,
    }.items()},
}  # fmt: skip
NAMES = ["", "A", "1a", "a" * 65, "a-b", "a/b", "../a", "a\0", "con", "nul", "com1", "a\n", "\u0430", "resnet50", "pinas", "a b", "a.json", "\x1b[2J"]  # fmt: skip
REPOS = ["", "user", "user/net/x", "../x", "user/..", "a/b@", "a/b@..", "a/b@../../x", "a/b@/x", "a/\0", "http://h/a/b", "a/b@" + "x" * 5000, "a b/c", "a/b#c", "-a/b", "a/b.git/..", "\x1b/a", "a/" + "b" * 200]  # fmt: skip
STORAGES = ["postgresql+psycopg2://u:secret@h/db", "mysql://u:secret@h/db", "nosuch://h/db", "study.txt", "sqlite://", "sqlite:////proc/x/y.db", "://", "a" * 5000 + "://", "\0", "sqlite:///a\0b", "postgresql://u:secret@127.0.0.1:9/db", "redis://127.0.0.1:9"]  # fmt: skip


def checked_storage(storage: str) -> None:
    try:
        check_storage(storage)
    except UserError as error:
        if "secret" in str(error):
            raise RuntimeError("the password is shown") from None
        raise


def _rows(values: list[str], promise: Promise) -> Mapping[str, tuple[Make, Promise]]:
    def name(k: int, text: str) -> str:
        return f"{k}-" + "".join(c if c.isascii() and (c.isalnum() or c in "._=-") else "_" for c in text)[:40]

    return {name(k, text): (given(text), promise) for k, text in enumerate(values)}


def inputs() -> tuple[Input, ...]:
    def count(pattern: str) -> int:
        return sum(1 for _ in expand(pattern))

    patterns: dict[str, tuple[Make, Promise]] = {
        "range": (given("a-{08..10}.tar"), Accepted(lambda n: n == 3)),
        "huge": (given("{0..99999999}"), Refused()),
        "product": (given("{0..99999}"), Accepted(lambda n: n == 100_000)),
        "braces": (given("{a}" * 40), Refused()),
        "digits": (given("{0.." + "9" * 5000 + "}"), Accepted(lambda n: n == 1)),  # a name, of no file
    }
    return (
        *table("set", dry_run, _rows(REFUSED_SETTINGS, Refused())),
        *table("set-ok", dry_run, _rows(ACCEPTED_SETTINGS, Accepted())),
        *table("config", load_config, CONFIGURATIONS),
        *table("arch", arch, ARCHS),
        *table("name", check_name, _rows(NAMES, Refused())),
        *table("form", check_form, {"64-letters": (given("a" * 64), Accepted())}),
        *table("repo", split_repo, _rows(REPOS, Refused())),
        *table("storage", checked_storage, _rows(STORAGES, Refused())),
        *table("pattern", count, patterns),
    )
