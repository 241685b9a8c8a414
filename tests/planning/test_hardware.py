"""What is found out about a machine, here and on machines that are only described."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from tests.planning.machines import A100, GOOD, facts
from xcomposer_ui.backends import hardware_facts as probes
from xcomposer_ui.core.hardware_names import NvidiaCard
from xcomposer_ui.core.versions import PACKAGES, SUPPORTED
from xcomposer_ui.planning.hardware import Check, Gpu, check_as_json, checked, this_machine


def item(check: Check, name: str):
    return next(i for i in check.items if str(i.name) == name)


def test_this_machine_is_judged() -> None:
    found = check_as_json(this_machine())
    assert {"name", "value", "verdict", "consequence"} == set(found["items"][0])
    values = {i["name"]: i["value"] for i in found["items"]}
    assert torch.__version__.startswith(values["PyTorch"])  # PyPI's wheels leave "+cu128" out of their metadata


def test_a_processor_without_half_is_slow_and_one_with_it_is_not() -> None:
    plain = checked(facts())
    assert (item(plain, "CPU float16").verdict, item(plain, "CPU bfloat16").verdict) == ("slow", "slow")
    assert "unified" in str(item(plain, "CPU float16").consequence)
    able = checked(facts(cpu_flags=frozenset({"avx512_bf16", "amx_bf16"})))
    assert str(item(able, "CPU bfloat16").value) == "AVX512-BF16, AMX-BF16"
    assert item(able, "CPU float16").verdict == "slow"
    assert plain.ok and able.ok


def test_what_the_system_does_not_say_is_unknown() -> None:
    mac = checked(facts(processor="arm64", cpu_flags=None, free_bytes=None))
    assert item(mac, "CPU float16").verdict == item(mac, "free memory").verdict == "unknown"
    assert mac.ok


def test_a_card_without_bfloat16_and_one_with_slow_float16() -> None:
    t4 = checked(facts(gpu=Gpu("T4", (7, 5), 15 << 30, 14 << 30, "550.1", ("sm_75",)), cuda="12.4"))
    assert str(item(t4, "GPU float16").value) == "2 × float32 (128 against 64 results a clock)"
    assert (str(item(t4, "GPU bfloat16").value), item(t4, "GPU bfloat16").verdict) == ("emulated", "slow")
    p40 = checked(facts(gpu=Gpu("P40", (6, 1), 24 << 30, 23 << 30, "550.1", ("sm_61",)), cuda="12.4"))
    assert item(p40, "GPU float16").verdict == "slow"


def test_a_card_that_this_pytorch_was_not_built_for_is_bad() -> None:
    old = checked(facts(gpu=Gpu("K80", (3, 7), 11 << 30, 11 << 30, "470.1", ("sm_80",)), cuda="12.4"))
    assert item(old, "compute capability").verdict == "bad"
    assert not old.ok
    newer = checked(facts(gpu=Gpu("new", (12, 0), 11 << 30, 11 << 30, None, ("sm_90", "compute_90")), cuda="12.4"))
    assert item(newer, "compute capability").verdict == "ok"
    assert (
        str(item(newer, "GPU float16").value) == "native, speed unknown"
    )  # its row of the table could not be looked up
    assert str(item(newer, "GPU bfloat16").value) == "native"
    assert str(item(old, "GPU float16").value) == "none"
    assert item(newer, "driver and CUDA").verdict == "unknown"


@pytest.mark.parametrize(("name", "version"), [("PyTorch", "2.1.0"), ("transformers", "4.33.2"), ("gradio", "5.9")])
def test_versions_too_old_are_bad_and_say_the_remedy(name: str, version: str) -> None:
    found = checked(facts(versions={**GOOD, name: version}))
    assert not found.ok
    assert "requirements.txt" in str(item(found, name).consequence)


def test_a_missing_package_and_a_newer_one() -> None:
    assert item(checked(facts(versions={**GOOD, "gradio": None})), "gradio").verdict == "bad"
    assert item(checked(facts(versions={**GOOD, "accelerate": None})), "accelerate").verdict == "note"
    assert item(checked(facts(versions={**GOOD, "accelerate": None}, gpu=A100)), "accelerate").verdict == "bad"
    assert item(checked(facts(versions={**GOOD, "PyTorch": "2.14.0"})), "PyTorch").verdict == "note"


def test_a_sentencepiece_that_refuses_the_published_tokenizer_is_bad() -> None:
    found = item(checked(facts(versions={**GOOD, "sentencepiece": "0.2.2"})), "sentencepiece")
    assert found.verdict == "bad"
    assert "null character" in str(found.consequence) and "requirements.txt" in str(found.consequence)
    assert item(checked(facts()), "sentencepiece").verdict == "ok"


@pytest.mark.parametrize(
    ("version", "verdict"),
    [("2.8.0a0+5228986c39.nv25", "ok"), ("2.8", "ok"), ("2.7.1", "bad"), ("2.14.0.dev1", "note"), ("own", "unknown")],
)
def test_builds_of_a_version_count_as_that_version(version: str, verdict: str) -> None:
    assert item(checked(facts(versions={**GOOD, "PyTorch": version})), "PyTorch").verdict == verdict


def test_known_combinations_are_named() -> None:
    found = checked(facts(flash_attention=True))
    assert "#416" in str(item(found, "flash-attn").consequence)
    assert "trust_remote_code" in str(item(found, "published remote code").consequence)


def test_the_bounds_are_those_of_the_requirements() -> None:
    requirements = [Requirement(line.split("#")[0]) for line in Path("requirements.txt").read_text().splitlines()]
    bounds = {requirement.name: requirement.specifier for requirement in requirements}
    declared = re.search(r'requires-python = "(.*)"', Path("pyproject.toml").read_text())
    assert declared is not None
    bounds["Python"] = SpecifierSet(declared[1])
    for name, needed in SUPPORTED.items():
        refused = "".join(f",!={version}" for version in needed.refused)
        assert bounds[PACKAGES.get(name, name)] == SpecifierSet(f">={needed.lowest},<{needed.untried}{refused}")


def test_the_processors_features_are_those_that_pytorch_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"avx512_bf16": True, "amx_fp16": False, "num_sockets": 1, "architecture": "x86_64"}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: told, raising=False)
    assert probes.cpu_flags() == {"avx512_bf16"}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"architecture": "riscv"})
    assert probes.cpu_flags() is None
    monkeypatch.delattr(torch.cpu, "get_capabilities")  # as in PyTorch 2.8
    assert probes.cpu_flags() is None


def test_the_driver_is_read_from_the_kernels_file_or_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "version"
    file.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar 5\n")
    assert probes.driver_version(file) == "550.54.15"
    monkeypatch.setattr(probes, "nvidia_card", lambda: NvidiaCard("A100", "560.1"))
    assert probes.driver_version(tmp_path / "none") == "560.1"


def test_apples_gpu_is_named_and_not_judged_quick_or_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.mps, "get_name", lambda: "Apple M2", raising=False)
    found = this_machine()
    assert str(item(found, "GPU").value) == "Apple M2 (mps)"
    assert item(found, "GPU float16").verdict == item(found, "GPU bfloat16").verdict == "unknown"
    monkeypatch.delattr(torch.backends.mps, "get_name")  # as in PyTorch 2.8
    monkeypatch.setattr(probes, "processor_name", lambda: "Apple M1 Pro")
    assert probes.apple_gpu() == "Apple M1 Pro"


def test_a_card_is_asked_for_its_own_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    properties = SimpleNamespace(name="H200", major=9, minor=0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (100 << 30, 139 << 30))
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_90"])
    monkeypatch.setattr(probes, "driver_version", lambda: "560.1")
    found = this_machine()
    assert str(item(found, "GPU memory").value) == "100.0 GiB of 139.0 GiB free"
    assert str(item(found, "GPU float16").value) == "2 × float32 (256 against 128 results a clock)"
