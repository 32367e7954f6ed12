"""What waits until something is proven."""
