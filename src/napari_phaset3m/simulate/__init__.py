"""Specimens, atomic potentials and image formation: series with known truth."""
