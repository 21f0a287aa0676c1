"""Ways of retraining, one a file; the registry is `policies`."""
