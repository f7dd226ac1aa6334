"""The report on devices: JSON without NaN, a page with escaped names, and an emulator labelled as one everywhere."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from detr2litert.host_runtime.errors import UserError
from detr2litert.verify.device.parity import EMULATOR, DeviceRow, is_emulator
from detr2litert.verify.device.protocol import Request
from detr2litert.verify.device.report import DeviceReport, check_folder, render_html, write_reports
from detr2litert.verify.gates import Finding, GateResult, Measurement, Verdict

HOSTILE = "<script>alert(1)</script>\"'&{{ 7 * 7 }}"


def report(*rows: DeviceRow) -> DeviceReport:
    return DeviceReport("tiny", "pixel", "ab" * 32, Request(), rows, "2026-01-01T00:00:00+00:00")


def row(serial: str = "R5CT", emulator: bool = False, error: str = "", value: float = 0.5) -> DeviceRow:
    finding = Finding("stage-b", "wrong", "graph_b / boxes", "differs", "compare")
    figures = (Measurement("graph_b / boxes", "correlation", value, 0.99), Measurement("graph_b", "max_abs_error", math.inf))
    gate = GateResult("stages", Verdict.FAILED, "graph_b differs", "compare", figures, (finding,), data={"worst": [math.nan]})
    passed = GateResult("run", Verdict.PASSED, "2 timed runs")
    facts = {"device": {"model": "Pixel 8"}, "android": {"sdk": 35}, "app": {}}
    return DeviceRow(serial, emulator, {} if error else facts, () if error else (passed, gate), error)


def strict(text: str) -> object:
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_json_has_no_nan(tmp_path: Path, value: float) -> None:
    write_reports(report(row(value=value)), tmp_path / "made" / "here")
    record = strict((tmp_path / "made/here/report.json").read_text())
    figure = record["devices"][0]["gates"][1]["measurements"][0]  # type: ignore[index]
    assert (figure["value"], figure["passed"]) == (str(value), value == math.inf)
    page = (tmp_path / "made/here/report.html").read_text()
    assert "not a number" in page or value == math.inf


class Reader(HTMLParser):
    """Tags with their attributes, and the text of every element but the style."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def test_names_with_markup_are_escaped() -> None:
    figure = Measurement(HOSTILE, HOSTILE, 1.0, 2.0)
    finding = Finding(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE)
    gate = GateResult(HOSTILE, Verdict.FAILED, HOSTILE, HOSTILE, (figure,), (finding,))
    hostile = DeviceRow(HOSTILE, False, {HOSTILE: {HOSTILE: HOSTILE}, "device": {"model": HOSTILE}}, (gate,))
    page = Reader(render_html(DeviceReport(HOSTILE, HOSTILE, HOSTILE, Request(), (hostile, DeviceRow(HOSTILE, error=HOSTILE)))))
    assert "script" not in page.tags
    assert not [name for name, _ in page.attributes if name.startswith("on") or name in ("src", "href")]
    assert page.text.count("{{ 7 * 7 }}") >= 12
    policy = dict(page.attributes)["content"]
    assert any(value and "default-src 'none'" in value for name, value in page.attributes if name == "content"), policy


def test_a_phone_is_never_called_an_emulator_and_an_emulator_always() -> None:
    phone, emulated = report(row()), report(row(emulator=True))
    assert phone.to_json()["ran_on"] == "devices"
    assert "emula" not in render_html(phone).lower()
    assert emulated.to_json()["ran_on"] == EMULATOR
    page = Reader(render_html(emulated))
    assert page.text.startswith(f"{EMULATOR}: tiny on a device: failed")
    assert page.text.count(EMULATOR) >= 4
    assert "failed (emulated)" in page.text


def test_a_phone_and_an_emulator() -> None:
    both = report(row("R5CT"), row("emulator-5554", emulator=True))
    assert both.to_json()["ran_on"] == f"1 devices and 1 {EMULATOR}"
    assert [item["emulator"] for item in both.to_json()["devices"]] == [False, True]
    page = Reader(render_html(both))
    assert f"{EMULATOR}: Pixel 8 emulator-5554" in page.text
    assert f"{EMULATOR}: Pixel 8 R5CT" not in page.text
    assert f"tiny on 2 devices, 1 of them an {EMULATOR}" in page.text


def test_a_device_that_could_not_be_used() -> None:
    broken = report(row(error="R5CT: no space left on the device"), row("other"))
    assert broken.verdict is Verdict.FAILED
    assert "This device could not be used R5CT: no space left" in Reader(render_html(broken)).text
    alone = report(row(error="gone"))
    assert (alone.verdict, alone.ran_on) == (Verdict.NOT_RUN, "nothing")


def test_the_form_of_the_graphs_is_named() -> None:
    facts = {
        "device": {"model": "Pixel 8"},
        "app": {"litert": "2.3.0"},
        "graphs": {"form": "portable", "native_refused": "no X"},
    }
    page = Reader(render_html(report(replace(row(), facts=facts))))
    assert "Pixel 8, LiteRT 2.3.0, portable form of the graphs" in page.text
    assert "graphs: native refused no X" in page.text
    assert "form of the graphs" not in Reader(render_html(report(row()))).text


@pytest.mark.parametrize(
    ("properties", "emulated"),
    [
        ({"ro.product.model": "Pixel 8", "ro.hardware": "shiba", "ro.build.fingerprint": "google/shiba/shiba:15/x"}, False),
        ({"ro.product.model": "SM-S921B", "ro.product.manufacturer": "samsung", "ro.kernel.qemu": "0"}, False),
        ({}, False),
        ({"ro.kernel.qemu": "1"}, True),
        ({"ro.boot.qemu": "1"}, True),
        ({"ro.hardware": "ranchu"}, True),
        ({"ro.hardware": "goldfish"}, True),
        ({"ro.product.model": "sdk_gphone64_x86_64"}, True),
        ({"ro.product.model": "Android SDK built for x86"}, True),
        ({"ro.build.fingerprint": "generic/sdk/generic:10/x"}, True),
        ({"ro.hardware": "cutf_cvm"}, True),
        ({"ro.product.device": "vsoc_x86_64"}, True),
        ({"ro.product.manufacturer": "Genymotion"}, True),
        ({"ro.hardware": "vbox86"}, True),
    ],
)
def test_which_devices_are_emulators(properties: dict[str, str], emulated: bool) -> None:
    assert is_emulator(properties) is emulated


def test_a_folder_for_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_folder(tmp_path)
    check_folder(tmp_path / "not/there/yet")
    monkeypatch.chdir(tmp_path)
    check_folder(Path("here"))
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file/below/it"):
        with pytest.raises(UserError, match=f"no report can be written to {place}: .*/file is not a writable folder"):
            check_folder(place)


def test_a_folder_that_this_user_may_not_write_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)  # the tests may run as root, which may write anywhere
    with pytest.raises(UserError, match="is not a writable folder; give another --report"):
        check_folder(tmp_path / "report")
