"""The gate's operators: the gate itself, and the owner of each tenant's budget (docs/gate.md).

Both get policies by broadcast, the gate verdicts too. Broadcast state is not used: what control.policies holds is read
at the start, with its times, so that a replay finds the policies that the first run had. Both yield ADDRESSED rows:
topic, key, value, Kafka timestamp.
"""
