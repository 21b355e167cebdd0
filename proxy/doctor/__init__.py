"""Measures what stands between a caller and a running proxy, through the proxy's public address alone.

conversation.py   one HTTP request on a connection of its own, with the time of each read
symptoms.py       what was measured, as plain data
judge.py          pure: what the measurements mean
remedies.py       what to change, for each ailment and each front
checks.py         makes the measurements
report.py         a table for people, JSON for programs

The simulated model behind the proxy is the other end: it stamps its events, is silent or large on request, and tells what
became of an answer that bore a name (`proxy.demo.fates`).
"""
