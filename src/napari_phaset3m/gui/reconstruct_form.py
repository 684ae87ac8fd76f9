"""The settings of a reconstruction as a form: one row per field of the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QLabel,
    QSizePolicy,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible

from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.errors import ConfigError
from napari_phaset3m.gui.binding import follow, theme_colours
from napari_phaset3m.session import Session


@dataclass(frozen=True)
class Row:
    """How one field of the model is edited.

    Attributes
    ----------
    path : str
        Field of :class:`ReconstructionConfig`, dotted for nested models.
    label : str
    choices : tuple of (text, value)
        A combo box; empty: a spin box or, for booleans, a check box.
    special : tuple of (text, value), optional
        What the lowest position of the spin box stands for.
    """

    path: str
    label: str
    choices: tuple[tuple[str, Any], ...] = ()
    special: tuple[str, Any] | None = None
    high: float = 999.0
    step: float = 1.0
    decimals: int = 0
    suffix: str = ""


_AUTO = ("auto", "auto")
MAIN = (
    Row(
        "method",
        "Method",
        (
            ("PhaseT3M (multislice)", "multislice"),
            ("Single-slice", "singleslice"),
            ("SIRT (linear)", "sirt"),
        ),
    ),
    Row("iterations", "Sweeps", special=_AUTO),
    Row("slices", "Slices", special=_AUTO),
    Row("voxel_angstrom", "Voxel", special=("as pixel", None), step=0.05, decimals=3, suffix=" Å"),
)
CONSTRAINTS = (
    Row("constraints.positivity", "Positive potential"),
    Row(
        "constraints.atomic_basis_sigma_angstrom",
        "Atomic basis",
        (("auto", "auto"), ("off", None), ("0.42 Å", 0.42), ("0.47 Å", 0.47), ("0.52 Å", 0.52)),
    ),
    Row("constraints.tv_weight", "Total variation", step=0.05, decimals=3, suffix=" V"),
    Row("constraints.shrink_volts", "Shrink (L1)", step=0.01, decimals=3, suffix=" V"),
    Row("constraints.lowpass_angstrom", "Low-pass", special=("off", None), step=0.1, decimals=2, suffix=" Å"),
    Row("constraints.mask_soft_edge_angstrom", "Mask edge", step=0.5, decimals=1, suffix=" Å"),
    Row("constraints.recentre", "Keep centred"),
)
ADVANCED = (
    Row(
        "depth_angstrom",
        "Depth",
        special=("as width", None),
        high=99999.0,
        step=5.0,
        decimals=1,
        suffix=" Å",
    ),
    Row("padding_px", "Padding", suffix=" px"),
    Row("rotation", "Interpolation", (("linear", "linear"), ("cubic", "cubic"), ("Fourier", "fourier"))),
    Row("step", "Step", special=_AUTO, step=0.1, decimals=3),
    Row(
        "loss",
        "Misfit",
        (
            ("auto", "auto"),
            ("amplitude", "amplitude"),
            ("Poisson", "poisson"),
            ("intensity", "intensity"),
        ),
    ),
    Row(
        "subset_size",
        "Tilts per update",
        (("auto", "auto"), ("1", 1), ("2", 2), ("4", 4), ("8", 8), ("all", "all")),
    ),
    Row("tilt_order", "Tilt order", (("random", "random"), ("golden", "golden"), ("given", "given"))),
    Row("coherence", "Focal spread", (("envelope", "envelope"), ("incoherent sum", "incoherent"))),
    Row("absorption", "Absorption"),
    Row("holdout_fraction", "Held out", special=_AUTO, high=0.5, step=0.01, decimals=2),
    Row("threads", "Threads", special=_AUTO, high=512),
    Row("seed", "Seed", high=99999),
)
LINEAR_ONLY_REASON = "SIRT is linear: it does not use this"
NOT_FOR_SIRT = ("slices", "loss", "coherence", "absorption", "step")


def field_of(path: str) -> Any:
    """Pydantic's description of a field given by its dotted path."""
    model: Any = ReconstructionConfig
    *parents, name = path.split(".")
    for parent in parents:
        model = model.model_fields[parent].annotation
    return model.model_fields[name]


def value_at(config: ReconstructionConfig, path: str) -> Any:
    """The value of a field given by its dotted path."""
    value: Any = config
    for name in path.split("."):
        value = getattr(value, name)
    return value


def with_value(config: ReconstructionConfig, path: str, value: Any) -> ReconstructionConfig:
    """A validated copy with one field changed.

    Raises
    ------
    ConfigError
        The value is refused; the message names the field.
    """
    data = config.model_dump()
    *parents, name = path.split(".")
    target = data
    for parent in parents:
        target = target[parent]
    target[name] = value
    changed: ReconstructionConfig = ReconstructionConfig.parse(**data)
    return changed


class Editor:
    """One row's widget with the model's value in and out."""

    def __init__(self, row: Row) -> None:
        self.row = row
        info = field_of(row.path)
        self.widget: QWidget
        if row.choices:
            self.widget = self._combo()
        elif info.annotation is bool:
            self.widget = QCheckBox(row.label)
        else:
            self.widget = self._spin()
        self.tip = str(info.description or row.label)
        self.widget.setToolTip(self.tip)
        self.widget.setObjectName(row.path)

    def _combo(self) -> QComboBox:
        box = QComboBox()
        for text, value in self.row.choices:
            box.addItem(text, value)
        box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        return box

    def _spin(self) -> QAbstractSpinBox:
        row = self.row
        box: QSpinBox | QDoubleSpinBox
        if row.decimals:
            box = QDoubleSpinBox()
            box.setDecimals(row.decimals)
            box.setMaximum(row.high)
            box.setSingleStep(row.step)
        else:
            box = QSpinBox()
            box.setMaximum(int(row.high))
            box.setSingleStep(int(row.step))
        box.setMinimum(0)
        box.setSuffix(row.suffix)
        box.setKeyboardTracking(False)
        if row.special is not None:
            box.setSpecialValueText(row.special[0])
        box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        return box

    def connect(self, slot: Any) -> None:
        """Call ``slot`` when the user changes the value."""
        widget = self.widget
        if isinstance(widget, QComboBox):
            widget.currentIndexChanged.connect(slot)
        elif isinstance(widget, QCheckBox):
            widget.toggled.connect(slot)
        else:
            widget.valueChanged.connect(slot)

    def value(self) -> Any:
        """What the model should get."""
        widget, special = self.widget, self.row.special
        if isinstance(widget, QComboBox):
            return widget.currentData()
        if isinstance(widget, QCheckBox):
            return widget.isChecked()
        if special is not None and widget.value() == widget.minimum():
            return special[1]
        return widget.value()

    def show_value(self, value: Any) -> None:
        """Show the model's value without announcing a change."""
        widget, special = self.widget, self.row.special
        widget.blockSignals(True)
        if isinstance(widget, QComboBox):
            index = widget.findData(value)
            if index < 0:
                widget.addItem(f"{value}", value)
                index = widget.count() - 1
            widget.setCurrentIndex(index)
        elif isinstance(widget, QCheckBox):
            widget.setChecked(bool(value))
        elif special is not None and value == special[1]:
            widget.setValue(widget.minimum())
        else:
            widget.setValue(value)
        widget.blockSignals(False)


class ReconstructForm(QWidget):
    """The settings in :attr:`Session.config`, editable; most of them folded away.

    Parameters
    ----------
    session : Session
    """

    refused = Signal(str)

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.editors: dict[str, Editor] = {}
        self.main = QFormLayout()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(self.main)
        self._fill(self.main, MAIN)
        self.constraints = self._folded("Constraints", CONSTRAINTS)
        self.advanced = self._folded("Advanced", ADVANCED)
        layout.addWidget(self.constraints)
        layout.addWidget(self.advanced)
        follow(session.events.config, self.refresh)
        self.refresh()

    def _folded(self, title: str, rows: Sequence[Row]) -> QCollapsible:
        fold = QCollapsible(title)
        fold.setDuration(0)
        content = QWidget()
        form = QFormLayout(content)
        form.setContentsMargins(0, 0, 0, 0)
        self._fill(form, rows)
        fold.setContent(content)
        fold.collapse(animate=False)
        return fold

    def _fill(self, form: QFormLayout, rows: Sequence[Row]) -> None:
        form.setHorizontalSpacing(10)
        form.setVerticalSpacing(5)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for row in rows:
            editor = self.editors[row.path] = Editor(row)
            editor.connect(self._on_edited)
            if isinstance(editor.widget, QCheckBox):
                form.addRow("", editor.widget)
                continue
            label = QLabel(row.label)
            label.setMinimumWidth(100)
            label.setBuddy(editor.widget)
            label.setToolTip(editor.tip)
            form.addRow(label, editor.widget)

    def _on_edited(self, *_: object) -> None:
        path = self.sender().objectName()
        editor = self.editors[path]
        try:
            config = with_value(self._session.config, path, editor.value())
        except ConfigError as error:
            editor.widget.setStyleSheet(f"border: 1px solid {theme_colours().error};")
            self.refused.emit(str(error))
            return
        editor.widget.setStyleSheet("")
        self.refused.emit("")
        self._session.config = config

    def refresh(self) -> None:
        """Show what the session's config holds."""
        config = self._session.config
        for path, editor in self.editors.items():
            editor.show_value(value_at(config, path))
            reason = ""
            if config.method == "sirt" and path in NOT_FOR_SIRT:
                reason = LINEAR_ONLY_REASON
            elif config.method == "singleslice" and path == "slices":
                reason = "Single-slice projects the whole depth into one slice"
            editor.widget.setEnabled(not reason)
            editor.widget.setToolTip(reason or editor.tip)
