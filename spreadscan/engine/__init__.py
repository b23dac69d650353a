"""Engine: dirty symbols in, signals out."""
