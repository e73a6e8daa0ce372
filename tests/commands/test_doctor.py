"""``pinas-zoo doctor --make-train-ids`` reads label ids as data, whatever a file of that name holds."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pinas_zoo.cli import main


def encoded(image: Image.Image, form: str) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (encoded(Image.new("L", (4, 4)), "EPS"), "cannot be read"),
        (encoded(Image.new("L", (64, 64)), "PNG")[:60], "cannot be read"),
        (b"", "cannot be read"),
        (encoded(Image.new("RGB", (4, 4)), "PNG"), "mode RGB"),
        (encoded(Image.fromarray(np.full((4, 4), 300, np.uint16)), "PNG"), "mode I;16"),
    ],
    ids=["eps", "torn", "empty", "colours", "16-bit"],
)
def test_what_is_no_label_mask_is_one_line(content, words, tmp_path, monkeypatch, capsys):
    ghostscript = tmp_path / "bin" / "gs"
    ghostscript.parent.mkdir()
    ghostscript.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    ghostscript.chmod(0o755)
    monkeypatch.setenv("PATH", str(ghostscript.parent), prepend=":")
    mask = tmp_path / "city" / "gtFine" / "val" / "ulm" / "ulm_gtFine_labelIds.png"
    mask.parent.mkdir(parents=True)
    mask.write_bytes(content)
    assert main(["doctor", "--make-train-ids", str(tmp_path / "city")]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "started").exists()
    assert [path.name for path in Path(mask.parent).iterdir()] == [mask.name]
