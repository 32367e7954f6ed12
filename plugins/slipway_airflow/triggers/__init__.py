"""What waits in the triggerer's event loop. Never below dags/: the triggerer reads no bundle."""
