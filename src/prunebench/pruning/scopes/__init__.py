"""Scopes of unstructured pruning, one a file: how what goes is spread over layers."""
