"""The modules at the top of the package: settings, logs, metrics, webhooks, the life of processes."""
