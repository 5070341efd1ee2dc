"""Maps of trained models: drawn over photos, measured, compared over runs, replaced."""
