"""What the store decides and keeps: scripts, rules, logs, lists of work, the connection, the embedded store."""
