"""Operations as functions: no printing here, so that CLI and monitor share them."""
