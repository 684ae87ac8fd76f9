"""XYZ files: the atoms, in their order, or one line that says what is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from napari_phaset3m.errors import DataError
from napari_phaset3m.io.xyz import read_xyz


def test_symbols_and_positions(tmp_path) -> None:
    path = tmp_path / "a.xyz"
    path.write_text("2\nany words\nCo 1.0 -2.5 3e0 extra 4\n O  0 0 0.5\n\n", encoding="utf-8")
    atoms = read_xyz(path)
    assert atoms.symbols == ("Co", "O")
    np.testing.assert_array_equal(atoms.positions_angstrom, [[1, -2.5, 3], [0, 0, 0.5]])


def test_the_shared_truth(shared_data) -> None:
    atoms = read_xyz(shared_data / "co3o4" / "co3o4_dev_truth_atoms.xyz")
    assert atoms.symbols.count("Co") == 323
    assert np.linalg.norm(atoms.positions_angstrom, axis=1).max() < 15


@pytest.mark.parametrize(
    ("text", "part"),
    [("", "empty"), ("x\n\nC 0 0 0\n", "number of atoms"), ("2\n\nC 0 0 0\n", "lists 1"),
     ("1\n\nC 0 0\n", "atom 1"), ("1\n\nC 0 0 zero\n", "atom 1"), ("1\n\nC 0 0 nan\n", "NaN"),
     ("0\n\n", "states 0"), ("-1\n\n", "states -1")],
)  # fmt: skip
def test_what_is_no_list_of_atoms(tmp_path, text, part) -> None:
    path = tmp_path / "bad.xyz"
    path.write_text(text)
    with pytest.raises(DataError, match=part) as error:
        read_xyz(path)
    assert "bad.xyz" in str(error.value) and "\n" not in str(error.value)


def test_binary_is_refused(tmp_path) -> None:
    (tmp_path / "b.xyz").write_bytes(bytes(range(128, 256)))
    with pytest.raises(DataError, match="text"):
        read_xyz(tmp_path / "b.xyz")
