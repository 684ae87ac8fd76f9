"""Which stages an alignment runs, in order, with the parameters of each folded away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QVBoxLayout, QWidget

from napari_phaset3m.gui.theme import LINE_SPACING
from napari_phaset3m.gui.widgets.model_form import ModelForm
from napari_phaset3m.prepare.align.config import STAGE_NAMES, AlignConfig
from napari_phaset3m.prepare.align.stages import stages_of, why_not_stage

if TYPE_CHECKING:
    from napari_phaset3m.core.series import TiltFocalSeries

#: What each stage does, for a person.
STAGE_TEXT = {
    "coarse": ("Coarse", "Neighbouring tilts by correlation, centre of mass, and the tilt axis"),
    "beads": ("Gold beads", "Beads are found, followed over the tilts and solved for shifts and axis"),
    "focal": ("Focal", "Shifts, rotation and magnification between foci, robust to contrast reversal"),
    "match": ("Projection matching", "Each image moves to where a volume of the others predicts it"),
    "optics": ("Optics", "Cs and astigmatism, along with shifts and defocus"),
    "axis": ("Tilt axis", "The angle at which one multislice volume explains all images best"),
    "grid": ("Grid search", "2D shifts for the least reconstruction error (Lee et al. 2025)"),
    "gradient": ("Gradient", "Shifts, defocus, tilts and rotation with the multislice model's derivatives"),
    "local": ("Local patches", "Parts of an image move on their own, as where the beam bends the specimen"),
}
#: Sections of the settings and their headings.
TITLES = {
    "reference": "Reference volume", "coarse": "Coarse", "beads": "Gold beads", "focal": "Focal",
    "match": "Projection matching", "optics": "Optics", "axis": "Tilt axis", "grid": "Grid search",
    "gradient": "Gradient", "local": "Local patches",
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
        self._series: TiltFocalSeries | None = None
        self.auto = QCheckBox("Stages that suit the series")
        self.auto.setToolTip("With defocus and Cs known the multislice model is used; untick to choose")
        self.auto.toggled.connect(self._on_auto)
        self.ticks: dict[str, QCheckBox] = {}
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(LINE_SPACING)
        layout.addWidget(self.auto)
        for name in STAGE_NAMES:
            text, tip = STAGE_TEXT[name]
            tick = self.ticks[name] = QCheckBox(text)
            tick.setToolTip(tip)
            tick.toggled.connect(self._on_tick)
            layout.addWidget(tick)
        self.form = ModelForm(config, hidden=("stages",), titles=TITLES)
        self.form.edited.connect(self._on_form)
        layout.addWidget(self.form)
        self.show_config(config)

    def show_series(self, series: TiltFocalSeries | None) -> None:
        """Show which stages suit a series."""
        if series is not self._series:
            self._series = series
            self.show_config(self._config)

    def show_config(self, config: AlignConfig) -> None:
        """Show settings that were changed elsewhere."""
        self._config = config
        automatic = config.stages == "auto"
        run = self._resolved(config)
        _set(self.auto, automatic)
        for name, tick in self.ticks.items():
            _set(tick, name in run)
            tip, why = STAGE_TEXT[name][1], self._why_not(name, config)
            # What is ticked and cannot be run can still be unticked.
            tick.setEnabled(not automatic and (not why or name in run))
            if why:
                tick.setToolTip(f"{tip}: {why}")
            else:
                tick.setToolTip(f"{tip} (untick the line above to choose)" if automatic else tip)
        if self.form.config != config:
            self.form.show_config(config)

    def chosen(self) -> tuple[str, ...]:
        """Stages that are ticked, in the order they are run."""
        return tuple(name for name, tick in self.ticks.items() if tick.isChecked())

    def _resolved(self, config: AlignConfig) -> tuple[str, ...]:
        if config.stages != "auto":
            return tuple(config.stages)
        return () if self._series is None else tuple(stages_of(self._series, config))

    def _why_not(self, name: str, config: AlignConfig) -> str:
        return "" if self._series is None else why_not_stage(name, self._series, config)

    def _on_auto(self, on: bool) -> None:
        # what suited stays ticked when it is switched off
        stages: object = "auto" if on else self._resolved(self._config) or ("match",)
        self._emit(self._config.model_copy(update={"stages": stages}))

    def _on_tick(self, *_: object) -> None:
        if not self.chosen():
            self.show_config(self._config)  # one stage at least
            return
        self._emit(self._config.model_copy(update={"stages": self.chosen()}))

    def _on_form(self, config: AlignConfig) -> None:
        self._emit(config.model_copy(update={"stages": self._config.stages}))

    def _emit(self, config: AlignConfig) -> None:
        self.show_config(config)
        self.edited.emit(config)


def _set(box: QCheckBox, on: bool) -> None:
    blocked = box.blockSignals(True)
    box.setChecked(on)
    box.blockSignals(blocked)
