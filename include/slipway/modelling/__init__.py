"""What the techniques share: Keras artifacts, SavedModel export, repeatability."""
