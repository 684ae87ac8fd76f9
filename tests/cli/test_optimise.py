"""``phaset3m optimise`` killed in the middle, and continued."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

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
    numbers = [json.loads(line)["number"] for line in lines(journal)[1:]]
    assert numbers == list(range(6)) and lines(journal)[: len(kept) - 1] == kept[:-1]
    assert json.loads(done.stdout)["told"]["trial"] in numbers and out.exists()
