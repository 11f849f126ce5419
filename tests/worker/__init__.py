"""Tests of the gunicorn worker class, against a real gunicorn and over raw sockets."""
