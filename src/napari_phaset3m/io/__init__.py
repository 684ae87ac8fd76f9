"""Readers and writers: files in, the data model out, and back."""
