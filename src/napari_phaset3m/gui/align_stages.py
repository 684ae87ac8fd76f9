"""Which stages an alignment runs, in order, with the parameters of each folded away."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QVBoxLayout, QWidget

from napari_phaset3m.gui.model_form import ModelForm
from napari_phaset3m.gui.theme import LINE_SPACING
from napari_phaset3m.prepare.align.config import STAGE_NAMES, AlignConfig

#: What each stage does, for a person.
STAGE_TEXT = {
    "focal": ("Focal", "Shifts between the foci of a tilt, robust to contrast reversal"),
    "coarse": ("Coarse", "Neighbouring tilts by correlation, or centre of mass"),
    "axis": ("Tilt axis", "Angle and offset of the tilt axis"),
    "match": ("Projection matching", "Each image moves to where a volume of the others predicts it"),
    "optics": ("Optics", "Cs and astigmatism, along with shifts and defocus"),
    "grid": ("Grid search", "2D shifts for the least reconstruction error (Lee et al. 2025)"),
    "gradient": ("Gradient", "Shifts, defocus, tilts and rotation with the multislice model's derivatives"),
    "local": ("Local", "Patches of an image move on their own"),
    "beads": ("Beads", "Tracks of gold beads"),
}
#: Sections of the settings and their headings.
TITLES = {
    "reference": "Reference volume", "focal": "Focal", "coarse": "Coarse", "axis": "Tilt axis",
    "match": "Projection matching", "optics": "Optics", "grid": "Grid search", "gradient": "Gradient",
}  # fmt: skip


class StagesBox(QWidget):
    """Ticks for the stages, and a form for the rest.

    Parameters
    ----------
    config : AlignConfig
    """

    #: The new settings.
    edited = Signal(object)

    def __init__(self, config: AlignConfig) -> None:
        super().__init__()
        self._config = config
        self.ticks: dict[str, QCheckBox] = {}
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(LINE_SPACING)
        for name in STAGE_NAMES:
            text, tip = STAGE_TEXT.get(name, (name.capitalize(), ""))
            tick = self.ticks[name] = QCheckBox(text)
            tick.setToolTip(tip)
            tick.setObjectName(name)
            tick.toggled.connect(self._on_tick)
            layout.addWidget(tick)
        self.form = ModelForm(config, hidden=("stages",), titles=TITLES)
        self.form.edited.connect(self._on_form)
        layout.addWidget(self.form)
        self.show_config(config)

    def show_config(self, config: AlignConfig) -> None:
        """Show settings that were changed elsewhere."""
        self._config = config
        for name, tick in self.ticks.items():
            blocked = tick.blockSignals(True)
            tick.setChecked(name in config.stages)
            tick.blockSignals(blocked)
        if self.form.config != config:
            self.form.show_config(config)

    def chosen(self) -> tuple[str, ...]:
        """Stages that are ticked, in the order they are run."""
        return tuple(name for name, tick in self.ticks.items() if tick.isChecked())

    def _on_tick(self, *_: object) -> None:
        if not self.chosen():
            self.show_config(self._config)  # one stage at least
            return
        self._emit(self._config.model_copy(update={"stages": self.chosen()}))

    def _on_form(self, config: AlignConfig) -> None:
        self._emit(config.model_copy(update={"stages": self._config.stages}))

    def _emit(self, config: AlignConfig) -> None:
        self._config = config
        self.edited.emit(config)
