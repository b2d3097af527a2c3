"""The control plane: one process that decides, and that never imports user code."""
