"""Binaries into signed images, provisioned storage and one merged file; and the way back."""
