"""`pinas-zoo info` and `pinas-zoo classify`, as a user runs them."""

from __future__ import annotations

import io
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from pinas_zoo import cli
from pinas_zoo.analysis.cost import count_module, count_operations
from pinas_zoo.analysis.diagram import COLOURS
from pinas_zoo.analysis.paper_check import (
    CODE_PARAMS,
    Measured,
    Printed,
    check_code,
    check_printed,
    printed_row,
    rounded_twice,
)
from pinas_zoo.analysis.paper_tables import ROWS_OF_NAMES
from pinas_zoo.data.image_files import read_image
from pinas_zoo.models.pinas import ARCHS, PiNAS
from pinas_zoo.weights.model_folder import save_model_folder
from tests.golden import fill_
from tests.hub_server import HubServer

SMALL = dict(depths=(1, 2, 1, 1), widths=(16, 32, 64, 128), stem_width=8)
SMALL_OPTIONS = ("--depths", "1,2,1,1", "--widths", "16,32,64,128", "--stem-width", "8")


@pytest.fixture(scope="module")
def small_folder(tmp_path_factory) -> Path:
    """A model folder of a tiny network of 4 classes with labels, at 48 x 48."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    model = fill_(PiNAS("01231", **SMALL, num_classes=4))
    cfg = {"input_size": (3, 48, 48), "label_names": ["ash", "birch", "cedar", "dogwood"]}
    return save_model_folder(folder, model.state_dict(), {"arch": "01231", **SMALL}, cfg)


@pytest.fixture
def photo(tmp_path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def run(*argv: object) -> int:
    return cli.main([str(a) for a in argv])


def one_line(capsys, *argv: object) -> str:
    assert run(*argv) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1, err
    return err


def measured(name: str, **kwargs) -> Measured:
    model, size = timm.create_model(name, device="meta", **kwargs), (3, 224, 224)
    return Measured(count_module(model, size).params, count_operations(model, size))


ALPHA = Measured(params=27_046_278, operations=5_377_411_936)

# the paper's figures


@pytest.mark.parametrize("name", sorted(set(ROWS_OF_NAMES) - {"pinas_beta", "pinas_delta", "pinas_epsilon"}))
def test_networks_have_the_figures_that_the_paper_prints(name):
    """All rows of Tables 1 and 2 whose architectures are known, by one rule of counting and rounding."""
    outcome = check_printed(measured(name), printed_row(name))
    assert outcome.matches, outcome
    of_code = check_code(name, measured(name).params)
    assert (of_code is None) == (name not in CODE_PARAMS)
    assert of_code is None or of_code.matches


def test_running_statistics_do_not_explain_the_parameters_and_two_roundings_do():
    counts = {}
    for name in ("pinas_alpha", "pinas_gamma", "resnest50d"):
        model = timm.create_model(name, device="meta")
        statistics = sum(b.numel() for b in model.buffers() if b.is_floating_point())
        params = sum(p.numel() for p in model.parameters())
        once = [f"{count / 1e6:.1f}" for count in (params, params + statistics)]
        counts[name] = (*once, rounded_twice(params, 10**6, 1))
    assert counts == {  # once rounded; with running statistics; twice rounded, as printed
        "pinas_alpha": ("27.0", "27.1", "27.1"),
        "pinas_gamma": ("27.0", "27.1", "27.0"),
        "resnest50d": ("27.5", "27.5", "27.5"),
    }


def test_the_convention_that_gives_5_38_g_is_the_flops_counter_s():
    model = timm.create_model("pinas_alpha", device="meta")
    assert f"{count_module(model, (3, 224, 224)).macs / 1e9:.2f}" == "5.33"
    assert f"{measured('pinas_alpha').operations / 1e9:.2f}" == "5.38"


def test_the_flops_counter_s_count_of_resnet50_is_the_one_openmmlab_prints():
    assert f"{measured('resnet50').operations / 1e9:.2f}" == "4.12"


@pytest.mark.parametrize(
    ("params_m", "flops_g", "fits"),
    [
        ("27.1", "5.38", True), ("27.05", "5.377", True), ("27", "5.4", True),
        ("27.0", "5.38", False), ("27.11", "5.38", False), ("27.1", "5.33", False),
    ],
)  # fmt: skip
def test_only_the_printed_digits_are_compared(params_m, flops_g, fits):
    outcome = check_printed(ALPHA, Printed("it", params_m, flops_g))
    assert outcome.matches is fits
    assert outcome.text.startswith("matches it: " if fits else "does not match it: expected ")
    assert "\n" not in outcome.text


# info


def test_info_of_a_name(capsys):
    assert run("info", "pinas_cls") == 0
    out = capsys.readouterr().out
    assert ARCHS["pinas_alpha"] in out
    assert "27,046,278 parameters, 5,332,293,584 multiply-adds for one image of 3 x 224 x 224" in out
    assert out.count("\nlayer") == 17  # the headings and 16 layers
    assert "\nmatches Table 1's row of Π-NAS-α: 27.1 M parameters (27.046, by a counter 27.05), 5.38 G FLOPs" in out
    assert out.count("\nmatches ") == 2
    assert "does not match" not in out


def test_info_of_an_architecture_finds_its_name_in_the_paper(capsys):
    run("info", ARCHS["pinas_gamma"])
    assert "matches the authors' code: 27,039,016 parameters" in capsys.readouterr().out
    run("info", "1" * 16)
    assert "matches the authors' code: 27,483,240 parameters" in capsys.readouterr().out
    run("info", "2" * 16)
    assert "match" not in capsys.readouterr().out


def test_info_of_a_small_one(capsys):
    assert run("info", "01231", *SMALL_OPTIONS, "--image-size", 64, "--num-classes", 7) == 0
    out = capsys.readouterr().out
    counted = count_module(PiNAS("01231", **SMALL, num_classes=7, device="meta"), (3, 64, 64))
    assert f"total: {counted.params:,} parameters, {counted.macs:,} multiply-adds for one image of 3 x 64 x 64" in out
    assert "match" not in out


def test_info_of_a_folder_reads_no_weights(capsys, tmp_path, small_folder):
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "config.json").write_bytes((small_folder / "config.json").read_bytes())
    assert run("info", tmp_path / "copy") == 0
    out = capsys.readouterr().out
    assert "architecture 01231" in out
    assert "3 x 48 x 48" in out


def test_card_list_and_info_of_another_stride_and_pool_agree(capsys, tmp_path, monkeypatch):
    from pinas_zoo.zoo import publish

    monkeypatch.setenv("PINAS_ZOO_HOME", str(tmp_path / "home"))
    kwargs = dict(arch="01231", **SMALL, num_classes=7, output_stride=8, global_pool="catavgmax")
    state = timm.create_model("pinas", **kwargs).state_dict()
    folder = save_model_folder(tmp_path / "dense", state, kwargs, {"input_size": (3, 64, 64)})
    counted = count_module(PiNAS(**kwargs, device="meta"), (3, 64, 64))
    assert run("info", folder) == 0
    info = capsys.readouterr().out
    assert f"total: {counted.params:,} parameters, {counted.macs:,} multiply-adds" in info
    assert next(line for line in info.splitlines() if line.startswith("fc ")).split()[2] == "1024"
    assert run("register", "info_test_dense", "--folder", folder) == 0
    capsys.readouterr()
    assert run("list", "--mine", "--json") == 0
    row = next(r for r in json.loads(capsys.readouterr().out) if r["name"] == "info_test_dense")
    assert (row["params"], row["macs"]) == (counted.params, counted.macs)
    card = publish.plan_push(folder, "user/dense").card
    assert f"| {counted.params:,} |" in card
    assert f"| {counted.macs / 1e9:.3f} G for one image" in card
    assert run("unregister", "info_test_dense") == 0


@pytest.mark.parametrize(("name", "params"), [("resnet50", "25,557,032"), ("resnest50d", "27,483,240")])
def test_info_of_timm_s_peers_is_totals_only(capsys, name, params):
    assert run("info", name) == 0
    out = capsys.readouterr().out
    assert f"total: {params} parameters" in out
    assert "layer1" not in out


def test_info_of_a_registered_network(capsys, tmp_path, monkeypatch):
    import pinas_zoo

    monkeypatch.setenv("PINAS_ZOO_HOME", str(tmp_path))
    pinas_zoo.register("info_test_mine", arch="01231", **SMALL)
    try:
        assert run("info", "info_test_mine") == 0
        assert "architecture 01231" in capsys.readouterr().out
    finally:
        pinas_zoo.unregister("info_test_mine")


def test_a_string_that_is_supplied_for_a_name_is_checked_against_its_row(capsys):
    assert run("info", "pinas_gamma", "--arch", ARCHS["pinas_gamma"]) == 0
    out = capsys.readouterr().out
    assert f"pinas_gamma, architecture {ARCHS['pinas_gamma']}" in out
    assert "\nmatches Table 1's row of Π-NAS-γ: 27.0 M parameters" in out
    assert run("info", "pinas_beta", "--arch", ARCHS["pinas_alpha"]) == 2
    captured = capsys.readouterr()
    assert captured.out.count("match") == 1
    expected = "does not match Table 1's row of Π-NAS-β: expected 27.2 M parameters, 5.39 G FLOPs, got 27.1 (27.046"
    assert expected in captured.out
    assert captured.err.startswith("pinas-zoo info: expected the figures of pinas_beta, got others")
    assert run("info", "pinas_epsilon", "--arch", "1" * 16, "--json") == 2
    (check,) = json.loads(capsys.readouterr().out)["checks"]
    assert check["matches"] is False


def test_beta_without_a_string_is_not_known_and_checked_once_it_is_registered(capsys, tmp_path, monkeypatch):
    import pinas_zoo

    monkeypatch.setenv("PINAS_ZOO_HOME", str(tmp_path))
    assert "register" in one_line(capsys, "info", "pinas_beta")
    pinas_zoo.register("pinas_beta", arch="2" * 16)  # any string: what is tested is the check, not the paper's β
    try:
        assert run("info", "pinas_beta") == 0
        assert "does not match Table 1's row of Π-NAS-β" in capsys.readouterr().out
        assert run("info", "pinas_beta", "--arch", ARCHS["pinas_alpha"]) == 2  # and not the registered one
        assert ARCHS["pinas_alpha"] in capsys.readouterr().out
    finally:
        pinas_zoo.unregister("pinas_beta")


def test_figures_that_a_user_gives_are_checked_beside_the_paper_s(capsys):
    assert run("info", "pinas_cls", "--expect", "27.1,5.38") == 0
    assert "matches --expect: 27.1 M parameters" in capsys.readouterr().out
    assert run("info", "2" * 16, "--expect", "27.1,9.99") == 2
    assert "does not match --expect: expected 27.1 M parameters, 9.99 G FLOPs" in capsys.readouterr().out


def test_pictures_are_written(tmp_path):
    svg, png = tmp_path / "a.svg", tmp_path / "a.png"
    assert run("info", "pinas_gamma", "--svg", svg, "--png", png) == 0
    assert "".join(g[1].text for g in ET.parse(svg).iter("{http://www.w3.org/2000/svg}g")) == ARCHS["pinas_gamma"]
    with Image.open(png) as image:
        assert image.format == "PNG"
        colours = {tuple(pixel) for pixel in np.asarray(image).reshape(-1, 3).tolist()}
    assert {tuple(bytes.fromhex(colour[1:])) for colour in COLOURS} <= colours
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "a.svg"]


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["0123"], "expected an architecture of 16 layers, got 4"),
        (["4" * 16], "expected candidates 0 to 3"),
        (["pinas_clz"], "did you mean pinas_cls"),
        (["no such thing"], "expected a timm name"),
        (["pinas_cls", "--depths", "1,1,1,1"], "expected --depths with an ARCH only"),
        (["0123", "--depths", "1,1,x"], "expected --depths as four numbers"),
        (["0123", "--depths", "1,1,1"], "expected four stages"),
        (["pinas_cls", "--expect", "27.1"], "expected --expect PARAMS_M,FLOPS_G"),
        (["pinas_clz", "--arch", "1" * 16], "expected a name of Table 1 beside --arch, of pinas_alpha"),
        (["pinas_beta", "--arch", "012"], "expected an architecture of 16 layers"),
        (["pinas_beta", "--arch", "resnet50"], "expected --arch as 16 digits"),
        (["pinas_beta", "--arch", "1" * 16, "--stem-width", "8"], "expected no sizes beside --arch, got stem_width"),
        (["resnet50", "--svg", "x.svg"], "expected a network of this package for a picture"),
        (["0123", "--depths", "1,1,1,1", "--stem-width", "0"], "expected stem_width"),
        (["pinas_cls", "--image-size", "8"], "expected --image-size of at least 32"),
    ],
)
def test_info_of_wrong_input_is_one_line(capsys, argv, says):
    assert says in one_line(capsys, "info", *argv)


def test_a_picture_that_cannot_be_written_is_one_line(capsys, tmp_path):
    assert "No such file or directory" in one_line(capsys, "info", "pinas_cls", "--svg", tmp_path / "no" / "x.svg")


def test_a_name_means_the_same_beside_a_folder_of_that_name(capsys, tmp_path, monkeypatch):
    (tmp_path / "pinas_cls").mkdir()
    monkeypatch.chdir(tmp_path)
    assert cli.main(["info", "pinas_cls"]) == 0
    assert "3013231203213032" in capsys.readouterr().out


def test_info_of_a_search_run_names_its_networks(capsys, tmp_path, small_folder):
    shutil.copytree(small_folder, tmp_path / "run" / "winner")
    (tmp_path / "run" / "config.json").write_text('{"name": "digits"}')
    assert "give its winner/ or trained/" in one_line(capsys, "info", tmp_path / "run")


def test_a_damaged_folder_is_one_line(capsys, tmp_path):
    assert "config.json" in one_line(capsys, "info", tmp_path)
    (tmp_path / "config.json").write_text('{"architecture": ')
    assert "damaged" in one_line(capsys, "info", tmp_path)


# classify


def modes() -> dict[str, Image.Image]:
    colour = Image.fromarray(np.random.default_rng(1).integers(0, 256, (50, 70, 3), dtype=np.uint8))
    sixteen = Image.fromarray((np.asarray(colour.convert("L")).astype(np.uint16)) * 257)
    return {
        "grey.png": colour.convert("L"),
        "rgba.png": colour.convert("RGBA"),
        "cmyk.jpg": colour.convert("CMYK"),
        "palette.gif": colour.convert("P"),
        "grey_alpha.png": colour.convert("LA"),
        "bits.png": colour.convert("1"),
        "grey16.png": sixteen,
    }


def test_images_of_every_mode_in_one_batch(capsys, tmp_path, small_folder):
    for name, image in modes().items():
        image.save(tmp_path / name)
    paths = [tmp_path / name for name in modes()]
    assert run("classify", *paths, "--model", small_folder, "--topk", 4) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == [str(p) for p in paths]
    assert len(lines) == 5 * len(paths)
    assert {line.split()[-1] for line in lines if line.startswith(" ")} == {"ash", "birch", "cedar", "dogwood"}


def test_probabilities_are_the_model_s_on_its_own_transform(capsys, small_folder, photo):
    assert run("classify", photo, "--model", small_folder, "--topk", 2) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    model = timm.create_model(f"local-dir:{small_folder}", pretrained=True).eval()
    transform = timm.data.create_transform(**timm.data.resolve_data_config({}, model=model))
    assert transform(Image.open(photo)).shape == (3, 48, 48)
    with torch.no_grad():
        probabilities = model(transform(Image.open(photo))[None]).softmax(1)[0]
    for line, index in zip(lines, probabilities.argsort(descending=True)[:2].tolist(), strict=True):
        value, _, name = line.split()
        assert name == ["ash", "birch", "cedar", "dogwood"][index]
        assert abs(float(value) - 100 * probabilities[index].item()) <= 0.006


def test_batches_do_not_change_the_outcome(capsys, tmp_path, small_folder):
    for i in range(3):
        noise = np.random.default_rng(i).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{i}.png")
    paths = sorted(tmp_path.glob("*.png"))
    outputs = []
    for size in (1, 2, 8):
        assert run("classify", *paths, "--model", small_folder, "--batch-size", size) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1] == outputs[2]


def test_labels_of_imagenet_and_of_no_one(capsys, tmp_path, photo):
    for classes in (1000, 3):
        model = fill_(PiNAS("01231", **SMALL, num_classes=classes))
        save_model_folder(tmp_path / "m", model.state_dict(), {"arch": "01231", **SMALL}, {"input_size": (3, 48, 48)})
        assert run("classify", photo, "--model", tmp_path / "m", "--topk", 1000) == 0
        out = capsys.readouterr().out
        assert ("tabby, tabby cat\n" in out) is (classes == 1000)
        assert ("class 2\n" in out) is (classes == 3)


def test_label_descriptions_are_preferred_to_names(capsys, tmp_path, photo):
    model = fill_(PiNAS("01231", **SMALL, num_classes=2))
    cfg = {
        "input_size": (3, 48, 48),
        "label_names": ["n1", "n2"],
        "label_descriptions": {"n1": "an ash", "n2": "a birch"},
    }
    save_model_folder(tmp_path / "m", model.state_dict(), {"arch": "01231", **SMALL}, cfg)
    assert run("classify", photo, "--model", tmp_path / "m") == 0
    assert {line.split("%")[1].strip() for line in capsys.readouterr().out.splitlines()[1:]} == {"an ash", "a birch"}


def test_a_model_of_one_channel(capsys, tmp_path, photo):
    model = fill_(PiNAS("01231", **SMALL, num_classes=3, in_chans=1))
    cfg = {"input_size": (1, 48, 48)}
    save_model_folder(tmp_path / "m", model.state_dict(), {"arch": "01231", **SMALL, "in_chans": 1}, cfg)
    assert run("classify", photo, "--model", tmp_path / "m") == 0


def test_what_is_transparent_is_white_and_16_bits_are_scaled(tmp_path):
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    assert read_image(tmp_path / "clear.png", 3).getpixel((0, 0)) == (255, 255, 255)
    Image.fromarray(np.full((4, 4), 128 * 257, np.uint16)).save(tmp_path / "grey.png")
    assert read_image(tmp_path / "grey.png", 3).getpixel((0, 0)) == (128, 128, 128)
    assert read_image(tmp_path / "grey.png", 1).getpixel((0, 0)) == 128


def test_orientation_is_followed(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.new("RGB", (40, 20)).save(tmp_path / "turned.jpg", exif=exif)
    assert read_image(tmp_path / "turned.jpg", 3).size == (20, 40)


def truncated(photo: Path) -> bytes:
    buffer = io.BytesIO()
    Image.open(photo).save(buffer, "JPEG")
    return buffer.getvalue()[:600]


def test_unreadable_images_are_one_line_each(capsys, tmp_path, small_folder, photo):
    (tmp_path / "text.jpg").write_text("not an image")
    (tmp_path / "cut.jpg").write_bytes(truncated(photo))
    (tmp_path / "empty.png").touch()
    bad = [tmp_path / "text.jpg", tmp_path / "cut.jpg", tmp_path / "empty.png", tmp_path / "none.png", tmp_path]
    for path in bad:
        assert str(path) in one_line(capsys, "classify", path, "--model", small_folder)
    assert run("classify", bad[0], photo, bad[3], "--model", small_folder) == 2
    captured = capsys.readouterr()
    assert captured.out.splitlines()[0] == str(photo)  # the good one is named all the same
    assert len(captured.err.splitlines()) == 2
    assert all(line.startswith("pinas-zoo classify: expected an image") for line in captured.err.splitlines())


def test_a_model_without_weights_is_refused(capsys, tmp_path, small_folder, photo, monkeypatch):
    monkeypatch.setenv("PINAS_ZOO_HOME", str(tmp_path / "home"))
    assert "no weights of 'pinas_cls' are published" in one_line(capsys, "classify", photo, "--model", "pinas_cls")
    assert "none of them" in one_line(capsys, "classify", photo, "--model", "pinas_clz")
    assert "none of them" in one_line(capsys, "classify", photo, "--model", tmp_path / "nowhere")
    (tmp_path / "m").mkdir()
    assert "config.json" in one_line(capsys, "classify", photo, "--model", tmp_path / "m")
    (tmp_path / "m" / "config.json").write_bytes((small_folder / "config.json").read_bytes())
    assert "model.safetensors" in one_line(capsys, "classify", photo, "--model", tmp_path / "m")
    (tmp_path / "m" / "model.safetensors").write_bytes((small_folder / "model.safetensors").read_bytes()[:5000])
    assert "truncated" in one_line(capsys, "classify", photo, "--model", tmp_path / "m")


def test_a_model_without_a_head_is_refused(capsys, tmp_path, photo):
    model = fill_(PiNAS("01231", **SMALL, num_classes=0))
    save_model_folder(tmp_path / "m", model.state_dict(), {"arch": "01231", **SMALL}, {})
    assert "no head" in one_line(capsys, "classify", photo, "--model", tmp_path / "m")


@pytest.mark.parametrize("device", ["foo", "meta", "cuda:99"])
def test_a_device_that_is_not_there_is_named(capsys, small_folder, photo, device):
    assert f"--device that torch can use here, got '{device}'" in one_line(
        capsys, "classify", photo, "--model", small_folder, "--device", device
    )


def test_options_of_classify(capsys, small_folder, photo):
    assert "--topk of at least 1" in one_line(capsys, "classify", photo, "--model", small_folder, "--topk", 0)
    assert "--batch-size of at least 1" in one_line(
        capsys, "classify", photo, "--model", small_folder, "--batch-size", 0
    )


def test_labels_are_kept_where_timm_looks_for_them(small_folder):
    assert json.loads((small_folder / "config.json").read_text())["label_names"][0] == "ash"


def classify_by_hub(url: str, photo: Path, cache: Path, repo: str = "user/net") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pinas_zoo.cli", "classify", photo, "--model", f"hf-hub:{repo}", "--topk", "1"],
        capture_output=True,
        text=True,
        env={**os.environ, "HF_ENDPOINT": url, "HF_HOME": str(cache), "OMP_NUM_THREADS": "1"},
        timeout=100,
    )


def test_a_model_on_the_hub(tmp_path, small_folder, photo, capsys):
    run("classify", photo, "--model", small_folder, "--topk", 1)
    local = capsys.readouterr().out
    with HubServer() as hub:
        hub.add("user/net", {f: (small_folder / f).read_bytes() for f in ("config.json", "model.safetensors")})
        done = classify_by_hub(hub.url, photo, tmp_path / "cache")
        assert (done.returncode, done.stdout) == (0, local), done.stderr
        missing = classify_by_hub(hub.url, photo, tmp_path / "cache", "user/nothing")
        assert missing.returncode == 2
        assert missing.stderr.count("\n") == 1
        assert "no such repo" in missing.stderr


def test_a_hub_that_does_not_answer_is_one_line_within_seconds(tmp_path, photo):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    start = time.monotonic()
    done = classify_by_hub(f"http://127.0.0.1:{port}", photo, tmp_path / "cache")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1, done.stderr
    assert time.monotonic() - start < 20  # most of it Python's start


def test_other_digits_with_the_figures_of_alpha_are_not_alpha(capsys):
    swapped = "3103231203213032"  # the second and third digit
    assert cli.main(["info", "pinas_alpha", "--arch", swapped]) == 2
    out = capsys.readouterr().out
    assert "matches Table 1's row of Π-NAS-α" in out  # many architectures have these figures
    assert f"does not match the authors' code: expected architecture {ARCHS['pinas_alpha']}, got {swapped}" in out
    assert cli.main(["info", "pinas_cls", "--arch", ARCHS["pinas_alpha"], "--image-size", "64"]) == 0
    assert "for one image of 3 x 64 x 64" in capsys.readouterr().out
