"""Appended to torchvision's `extension.py` by `make families`: its wheels on the package registry
are built for CUDA, and beside a CPU build of torch their operators do not load. Image processors
use none of these; declared, torchvision can be imported."""

import torch

if not _has_ops():  # pyright: ignore
    for name in ("nms", "qnms"):
        signature = "(Tensor boxes, Tensor scores, float iou_threshold) -> Tensor"
        torch.library.define(f"torchvision::{name}", signature)
