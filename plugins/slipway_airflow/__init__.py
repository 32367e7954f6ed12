"""Everything that knows Airflow: specs become DAGs, steps become tasks."""
