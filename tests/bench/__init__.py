"""What the proxy costs beside other proxies (`python -m tests.bench`), and a guard on the cost of an event."""
