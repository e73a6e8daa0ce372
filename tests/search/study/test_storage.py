"""Storages of a study: folders of any name, what cannot be opened is said before learning, passwords are not shown."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

import optuna
import pytest
from sqlalchemy import event

from pinas_zoo.errors import UserError
from pinas_zoo.search.config import parse_config, without_password
from pinas_zoo.search.context import Context
from pinas_zoo.search.preflight import check_run
from pinas_zoo.search.run_folder import check_folder
from pinas_zoo.search.study.storage import check_storage, open_study, storage_errors
from pinas_zoo.weights.atomic import write_json

CONFIG: dict[str, Any] = dict(
    name="storage",
    space=dict(type="resnest50", depths=(1, 1, 1, 1), widths=(16, 16, 16, 16), stem_width=4),
    data=dict(type="digits", image_size=16, val_per_class=10),
)
SECRET = "postgresql+psycopg2://me:p%40ss/w:rd@127.0.0.1:9/db"


@pytest.mark.parametrize("name", ["q?1", "{lr}", "p%20q", "a#b", "a&b=c", "a b", "ä", "{", "100%", "a;b"])
def test_a_study_is_in_its_folder_whatever_that_is_called(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    study = open_study("", folder)
    study.set_user_attr("of", name)
    assert open_study("", folder).user_attrs == {"of": name}
    with closing(sqlite3.connect(folder / "study.db")) as database:
        assert database.execute("select count(*) from studies").fetchone() == (1,)
        assert database.execute("pragma journal_mode").fetchone()[0] in ("wal", "delete")
    assert {path.name for path in tmp_path.iterdir()} == {name}


@pytest.mark.parametrize(
    ("storage", "message"),
    [
        ("study.txt", "expected a database URL or a path that ends in"),
        ("nodriver://u@h/db", "cannot be opened"),
        (SECRET, r"postgresql\+psycopg2://me:\*\*\*@127\.0\.0\.1:9/db cannot be opened: .*; pip install psycopg2"),
        ("mysql+pymysql://u:secret@h/db", r"mysql\+pymysql://u:\*\*\*@h/db cannot be opened: .*pip install pymysql"),
        ("://", "cannot be opened"),
    ],
)
def test_a_storage_that_cannot_be_opened_is_found_before_learning(tmp_path, zoo_home, storage, message):
    config = parse_config({**CONFIG, "explore": dict(storage=storage)})
    with pytest.raises(UserError, match=message) as error:
        check_run(Context.of(config, tmp_path / "run", lambda text: None))
    assert "p%40ss" not in str(error.value)
    assert "secret" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_what_others_read_shows_no_password(tmp_path):
    config = parse_config({**CONFIG, "explore": dict(storage=SECRET)})
    assert config.shown().explore.storage == "postgresql+psycopg2://me:***@127.0.0.1:9/db"
    assert config.explore.storage == SECRET
    for text in ("", "study.journal", "sqlite:///x.db", "mysql://u@h/db"):
        assert without_password(text) == text
    assert without_password("mysql://h/db?user=u&password=p@ss&x=1") == "mysql://h/db?user=u&password=***&x=1"
    write_json(tmp_path / "config.json", config.model_dump(mode="json"))
    with pytest.raises(UserError, match=r"explore\.storage was '.*:\*\*\*@.*', is ''"):
        check_folder(parse_config(CONFIG), tmp_path)


def test_storages_that_are_files_are_not_created_by_the_check(tmp_path):
    for storage in ("", str(tmp_path / "a.journal"), f"sqlite:///{tmp_path}/a.db"):
        check_storage(storage)
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_fails_within_the_work_is_one_line(tmp_path):
    """As on a full disk: SQLite may not grow the file."""
    from optuna.storages import RDBStorage

    storage = RDBStorage(f"sqlite:///{tmp_path}/study.db")
    study = optuna.create_study(storage=storage)

    def limit(connection: Any, record: Any) -> None:
        connection.execute("pragma max_page_count = 1")

    event.listen(storage.engine, "connect", limit)
    storage.engine.dispose()
    with pytest.raises(UserError, match=r"u:\*\*\*@h/db failed: database or disk is full; .*rerun the same command"):
        fill(study)


def fill(study: optuna.Study) -> None:
    with storage_errors("mysql://u:secret@h/db"):
        study.set_user_attr("key", "x" * 100_000)
