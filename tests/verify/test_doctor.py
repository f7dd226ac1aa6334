"""The report on the machine."""

from __future__ import annotations

import json

import pytest

from detr2litert.verify import doctor
from detr2litert.verify.delegate.adapters import Driver


@pytest.mark.gpu
def test_report_names_adapters_and_versions(driver: Driver, fp16_driver: Driver) -> None:
    found = doctor.diagnose()
    assert found.gpu_gates_run and found.versions["ai-edge-litert"] == "2.3.0"
    text = "\n".join(found.lines())
    assert driver.adapter.name in text and "operator table" in text
    assert driver.adapter.name in found.delegate_adapter
    assert f"fp16 adapter       {fp16_driver.adapter.name}" in text
    assert json.loads(json.dumps(found.to_json()))["gpu_gates_run"] is True


def test_report_advises_on_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "find_driver", lambda: None)
    monkeypatch.setattr(doctor, "find_fp16_driver", lambda: None)
    monkeypatch.setattr(doctor, "installed_runtime", lambda: "9.9.9")
    monkeypatch.setattr("shutil.which", lambda name: None)
    found = doctor.diagnose()
    assert not found.gpu_gates_run and found.driver is None
    missing = {item.what: item.how for item in found.missing}
    assert any("Vulkan" in what and "verify.delegate.driver" in how for what, how in missing.items())
    assert any("fp16" in what and "--fp16" in how for what, how in missing.items())
    assert any("fp16 gate will not run" in line for line in found.lines())
    assert {"adb", "java"} <= set(missing) and any("9.9.9" in what for what in missing)
    assert any(line.startswith("missing: adb") for line in found.lines())
