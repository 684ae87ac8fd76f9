"""Who paints the window's OpenGL canvases: a graphics card, or the processor in its place."""

from __future__ import annotations

from functools import lru_cache

from qtpy.QtGui import QOffscreenSurface, QOpenGLContext

#: How OpenGL that runs on the processor calls itself (Mesa's two, Windows' two).
_SOFTWARE = ("llvmpipe", "softpipe", "gdi generic", "basic render")
#: Longest edge of a preview, voxels: painted by a graphics card, by the processor.
PREVIEW_MAX_VOXELS = 256
PREVIEW_SOFTWARE_VOXELS = 128


@lru_cache(maxsize=1)
def renderer() -> str:
    """What OpenGL calls its renderer; empty where there is no OpenGL. For the main thread."""
    from vispy.gloo import gl

    before = QOpenGLContext.currentContext()
    surface_before = before.surface() if before is not None else None
    surface, context = QOffscreenSurface(), QOpenGLContext()
    surface.create()
    if not (context.create() and context.makeCurrent(surface)):
        return ""
    try:
        return str(gl.glGetParameter(gl.GL_RENDERER) or "")
    finally:
        context.doneCurrent()
        if before is not None:
            before.makeCurrent(surface_before)


def is_software() -> bool:
    """Whether the processor paints, as on many remote desktops and virtual machines."""
    return any(name in renderer().lower() for name in _SOFTWARE)


def preview_voxels() -> int:
    """Longest edge that pictures of a running reconstruction have in this window, voxels.

    A processor paints projections and surfaces of 256³ voxels in 0.4 and 3 s (llvmpipe on two idle cores,
    1600 x 1000), of 128³ in 0.2 and 1.9 s; nothing answers meanwhile, and the run waits too.
    """
    return PREVIEW_SOFTWARE_VOXELS if is_software() else PREVIEW_MAX_VOXELS


def opengl_words() -> str:
    """The renderer for the report of the system, and what it means where it is slow or missing."""
    if not renderer():
        return "none found: 3D views stay empty"
    slow = " (in software: 3D views are slow, pictures of a run coarser)" if is_software() else ""
    return f"{renderer()}{slow}"
