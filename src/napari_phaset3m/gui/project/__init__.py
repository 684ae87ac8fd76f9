"""Widgets of projects: saved, reopened, recovered."""
