"""CLIP with features that are tensors. Importing it imports transformers, which takes a second."""

from __future__ import annotations

from typing import Any

from transformers import CLIPModel


class TensorCLIP(CLIPModel):  # type: ignore[misc]
    """A ``CLIPModel`` whose features are tensors; transformers 5 wraps them."""

    def get_text_features(self, *args: Any, **kwargs: Any) -> Any:
        """Projected text features [n, d]."""
        return super().get_text_features(*args, **kwargs).pooler_output

    def get_image_features(self, *args: Any, **kwargs: Any) -> Any:
        """Projected picture features [n, d]."""
        return super().get_image_features(*args, **kwargs).pooler_output
