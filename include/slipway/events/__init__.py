"""Events from outside: what a message says, when a dropped model is complete, what follows.

No Airflow here: `slipway_airflow.triggers.events` waits, `slipway_airflow.operators.intake` starts
the runs. In between stands the event ledger in the model's bucket, so nothing hangs on either.
"""
