"""``phaset3m optimise`` killed in the middle, and continued."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest

from napari_phaset3m.cli import main
from napari_phaset3m.cli.optimise import as_flags, parse_range
from napari_phaset3m.errors import ConfigError
from napari_phaset3m.optimise.trials import Journal

pytest.importorskip("skopt")


def command(series, out, journal, *more: str) -> list[str]:
    return [
        sys.executable, "-c", "import sys; from napari_phaset3m.cli import main; sys.exit(main())",
        "optimise", str(series), "-o", str(out),
        "--search-only", "--free", "cs_angstrom=5e6:3e7", "--method", "random", "--calls", "6",
        "--bin", "1", "--trials", str(journal), *more,
    ]  # fmt: skip


def lines(journal) -> list[str]:
    return journal.read_text().splitlines() if journal.exists() else []


def test_a_killed_search_goes_on(tiny, tmp_path):
    out, journal = tmp_path / "found.h5", tmp_path / "t.jsonl"
    running = subprocess.Popen(command(tiny, out, journal), stdout=subprocess.DEVNULL)
    until = time.monotonic() + 100
    while len(lines(journal)) < 3 and running.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    running.kill()
    running.wait()
    kept = lines(journal)
    assert 3 <= len(kept) < 7, "it was killed neither before the first trial nor after the last"
    assert not out.exists()
    done = subprocess.run(
        command(tiny, out, journal, "--resume", "--json"), capture_output=True, text=True, check=True
    )
    *made, end = (json.loads(line) for line in lines(journal)[1:])
    numbers = [trial["number"] for trial in made]
    assert numbers == list(range(6)) and end["ended"] == "calls"
    assert lines(journal)[: len(kept) - 1] == kept[:-1]
    assert json.loads(done.stdout)["told"]["trial"] in numbers and out.exists()


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ("ranges: name: 'cs' is unknown", "--free: 'cs' is unknown"),
        ("ranges: no parameter is free; name at least one, e.g. cs_angstrom", "e.g. --free cs_angstrom"),
        ("search.trial.bin: must be a whole number (got 0)", "--bin: must be a whole number (got 0)"),
        (
            "trials (bin 2); widen the range or lower the bin",
            "trials (bin 2); widen the range or lower the bin",
        ),
        ("take it up; switch refine_shifts off", "take it up; add --no-refine-shifts"),
        ("take it out of refine_optics", "take it out of --refine-optics"),
        ("Continue it with --resume", "Continue it with --resume"),
    ],
)
def test_errors_name_flags(told, shown):
    assert as_flags(told).endswith(shown)


@pytest.mark.parametrize("text", ["nan:3e7", "2e7:inf", "2e7:x", "2e7:3e7:y"])
def test_a_range_holds_numbers(text):
    with pytest.raises(ConfigError, match=r"--free: .* holds no numbers"):
        parse_range(f"cs_angstrom={text}")


def test_what_a_search_found_is_told(tiny, tmp_path, capsys):
    out, journal = tmp_path / "found.h5", tmp_path / "t.jsonl"
    arguments = command(tiny, out, journal)[3:]
    assert main(arguments) == 0
    told = capsys.readouterr().out
    best = min((json.loads(line) for line in lines(journal)[1:-1]), key=lambda trial: trial["score"])
    assert "  6 trials, all that --calls allows; best:" in told
    assert f"    cs_angstrom {best['values']['cs_angstrom']:.6g}" in told
    assert main(arguments) == 2 and "Continue it with --resume" in capsys.readouterr().err


def test_a_stopped_search_says_how_to_go_on(tiny, tmp_path, capsys, monkeypatch):
    out, journal = tmp_path / "found.h5", tmp_path / "t.jsonl"
    kept = Journal._append

    def append(self, record):
        kept(self, record)
        if record.get("number") == 1:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Journal, "_append", append)
    assert main(command(tiny, out, journal)[3:]) == 1
    told = capsys.readouterr().err
    assert "t.jsonl holds its trials: go on with --resume" in told and told.count("\n") <= 2
    assert not out.exists() and len(lines(journal)) >= 3
