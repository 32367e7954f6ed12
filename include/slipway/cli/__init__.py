"""The command line: everything that Slipway does, without Airflow, from the same spec."""
