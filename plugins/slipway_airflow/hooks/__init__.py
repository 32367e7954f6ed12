"""Airflow connections as what a step's process reads."""
