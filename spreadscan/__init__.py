"""spreadscan: spot-perpetual spreads across exchanges, in real time, never a phantom."""
