"""The daemon's web server: health, metrics and status, read-only, in a thread of its own."""
