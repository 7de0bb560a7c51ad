"""The kinds of fields that a model can have."""
