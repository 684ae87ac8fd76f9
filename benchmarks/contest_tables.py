"""Rows of contest.csv as the markdown tables of docs/methods.md."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from contest import (
    ALONE,
    ALONE_LONGER,
    CONSTRAINTS,
    DEFAULTS,
    GRID,
    LINEAR,
    NOISY,
    SERIES,
    WIENER,
    Row,
    best,
)

#: Column: (heading, format, whether less is better).
SHOWN: dict[str, tuple[str, str, bool]] = {
    "fsc_mean": ("FSC mean", ".3f", False),
    "co_atoms": ("Co atoms (of 323)", ".0f", False),
    "rmsd_angstrom": ("RMSD of those found, Å", ".3f", True),
    "pairs": ("right pairs (of 137)", ".0f", False),
    "pairs_in_wedge": ("of these in the wedge (42)", ".0f", False),
    "false_pairs": ("false pairs", ".0f", True),
    "phase_error_deg": ("phase error", ".1f", True),
    "intensity_correlation": ("correlation of intensities", ".2f", False),
}
OURS = "multislice"
#: Of the doses, as tables show them.
ORDER = ("noiseless", "200", "21.5")
SHORT = {"iterations": "sweeps", "filter_lowpass_angstrom": "low-pass", "wiener_snr": "SNR",
         "tv_strength": "strength"}  # fmt: skip


def label(method: str) -> str:
    """A row's method for people."""
    named = {
        OURS: "**PhaseT3M (multislice)**",
        ALONE: "multislice, positivity alone (the linear methods' prior)",
        "singleslice": "single-slice",
        CONSTRAINTS[0]: "multislice, neither positivity nor sparsity",
        CONSTRAINTS[1]: "multislice, positivity and the default atomic basis",
        CONSTRAINTS[2]: "multislice, sparsity alone",
        **dict.fromkeys(ALONE_LONGER, "the same, not stopped by held-out images"),
    }
    if method in named:
        return named[method]
    name, *given = method.split(":")
    pairs = [part.split("=") for part in given if part != WIENER]
    told = ", ".join(f"{SHORT.get(key, key)} {value}" for key, value in pairs)
    if name in LINEAR and WIENER not in given:
        told = "no CTF correction"  # the only setting such rows have
    shown = {"multislice": "multislice", "tv": "TV", "singleslice": "single-slice"}.get(name, name.upper())
    return f"{shown} ({told})" if told else shown


def heading(dose: str) -> str:
    """A dose for people."""
    return dose if dose == "noiseless" else f"{dose} e/Å² per image"


def text(row: Row, column: str) -> str:
    """One figure; a dash where it was not measured."""
    return format(float(row[column]), SHOWN[column][1]) if row[column] else "—"


def markdown(heads: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A table."""
    lines = [heads, ["---"] * len(heads), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def by_dose(rows: Sequence[Row], dose: str) -> str:
    """Every fully scored method at a dose: ours, linear ones by default, then the best of each grid."""
    own = {row["method"]: row for row in rows if row["dose"] == dose and row["co_atoms"]}
    ours = (OURS, "singleslice", ALONE, *ALONE_LONGER, *CONSTRAINTS)
    listed = [name for name in (*ours, *DEFAULTS) if name in own]
    listed = list(dict.fromkeys(listed))
    listed += [name for name in own if name not in listed]
    body = [[label(m), own[m]["sweeps"], *(text(own[m], c) for c in SHOWN)] for m in listed]
    return markdown(["method", "sweeps", *(head for head, _, _ in SHOWN.values())], body)


def leaders(rows: Sequence[Row], column: str) -> tuple[str, str]:
    """The best figure of some rows as it is shown, and who has it."""
    sign = -1 if SHOWN[column][2] else 1
    shown = text(max(rows, key=lambda row: sign * float(row[column])), column)
    names = dict.fromkeys(
        label(row["method"]).partition(" (")[0] for row in rows if text(row, column) == shown
    )
    return shown, ", ".join(names) if len(names) <= 3 else f"{len(names)} methods"


def summary(rows: Sequence[Row]) -> str:
    """Ours / best linear with default settings / of all settings, quality by quality; the best in bold."""

    def cell(dose: str, column: str) -> str:
        own = [row for row in rows if row["dose"] == dose and row[column]]
        ours = [text(row, column) for row in own if row["method"] == OURS]
        linear = [row for row in own if f":{WIENER}" in row["method"]]
        default = [row for row in linear if row["method"] in DEFAULTS]
        if not ours or not default:
            return "—"
        found = [(ours[0], ""), leaders(default, column)]
        if len(linear) > len(default):
            found.append(leaders(linear, column))
        top = (min if SHOWN[column][2] else max)((shown for shown, _ in found), key=float)
        return " / ".join(
            f"{f'**{shown}**' if shown == top else shown}{f' {who}' if who else ''}" for shown, who in found
        )

    body = [[head, *(cell(dose, column) for dose in ORDER)] for column, (head, _, _) in SHOWN.items()]
    return markdown(["PhaseT3M / best linear, defaults / tuned too", *map(heading, ORDER)], body)


def constraints(rows: Sequence[Row]) -> str:
    """What positivity and sparsity do to the wedge."""

    def cell(dose: str, method: str) -> str:
        row = next((r for r in rows if (r["dose"], r["method"]) == (dose, method)), None)
        if row is None:
            return "—"
        inside = float(row["pairs_in_wedge"])
        outside = float(row["pairs"]) - inside
        return f"{outside:.0f} / {inside:.0f}, {text(row, 'fsc_mean')} ({row['sweeps']})"

    neither, basis, sparse = CONSTRAINTS
    named = {
        "neither": neither, "sparsity only": sparse, "positivity only, free voxels": ALONE,
        "positivity only, default atomic basis": basis, "both (default)": OURS,
    }  # fmt: skip
    return markdown(
        ["constraints", *map(heading, ORDER)], [[k, *(cell(d, m) for d in ORDER)] for k, m in named.items()]
    )


def tuned(rows: Sequence[Row]) -> str:
    """FSC with default settings and with the best of the grid."""

    def cell(dose: str, name: str) -> str:
        plain = next((r for r in rows if (r["dose"], r["method"]) == (dose, f"{name}:{WIENER}")), None)
        top = best(rows, dose, name)
        if plain is None or top is None:
            return "—"
        return f"{text(plain, 'fsc_mean')} → {text(top, 'fsc_mean')}, {label(top['method'])}"

    body = [[label(f"{name}:{WIENER}"), *(cell(dose, name) for dose in NOISY)] for name in GRID]
    return markdown(["method", *map(heading, NOISY)], body)


def tables(rows: Sequence[Row]) -> str:
    """All of them."""
    made: dict[str, Callable[[], str]] = {
        "Ours and the best linear": lambda: summary(rows),
        "Tuned by truth": lambda: tuned(rows),
        "Constraints: right pairs outside / inside the wedge, FSC mean (sweeps)": lambda: constraints(rows),
    }
    parts = [f"## {dose}\n\n{by_dose(rows, dose)}" for dose in SERIES]
    return "\n\n".join([*parts, *(f"## {head}\n\n{make()}" for head, make in made.items())])
