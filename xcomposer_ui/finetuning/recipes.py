"""Recipes: the dtypes of a training. Plain data; a new recipe is one more entry. Dtypes are in torch's spelling."""

from __future__ import annotations

from dataclasses import dataclass

from xcomposer_ui.core.errors import UserError

OPTIMIZERS = ("adamw", "sgd")
"""PyTorch's AdamW, with its two moments, and its SGD with momentum."""


@dataclass(frozen=True)
class Recipe:
    """One way to train in a given precision.

    weights: dtype of the model's weights and of their gradients. pixels: dtype of the pictures.
    autocast: the dtype that torch.autocast computes the forward pass in; None where there is no autocast.
    scaled: whether torch.amp.GradScaler scales the loss.
    master_weights: whether the optimizer updates float32 copies of the weights, which are then cast to `weights`.
    remedy: where it often fails, the recipe that does not.
    """

    name: str
    weights: str = "float32"
    pixels: str = "float32"
    autocast: str | None = None
    scaled: bool = False
    master_weights: bool = False
    remedy: str | None = None

    @property
    def dtypes(self) -> tuple[str, str, str | None]:
        """(weights, pixels, autocast): what the forward and the backward pass depend on."""
        return self.weights, self.pixels, self.autocast

    @property
    def updated_dtype(self) -> str:
        """The dtype of the weights that the optimizer updates, and of its state."""
        return "float32" if self.master_weights else self.weights

    @property
    def computed_dtype(self) -> str:
        """The dtype that most of the forward and the backward pass computes in, and that its gradients pass through."""
        return self.autocast or self.weights

    @property
    def key(self) -> str:
        return f"recipe.{self.name}"


def _by_name(*recipes: Recipe) -> dict[str, Recipe]:
    return {recipe.name: recipe for recipe in recipes}


RECIPES: dict[str, Recipe] = _by_name(
    Recipe("float32"),
    Recipe("autocast_float16", autocast="float16", scaled=True),
    Recipe("autocast_float16_unscaled", autocast="float16"),
    Recipe("autocast_bfloat16", autocast="bfloat16"),
    Recipe("float16", weights="float16", pixels="float16", remedy="autocast_float16"),
    Recipe("bfloat16", weights="bfloat16", pixels="bfloat16"),
    Recipe("bfloat16_master", weights="bfloat16", pixels="bfloat16", master_weights=True),
)
"""The recipes that are compared, in the order in which they are shown."""

MISTAKES: dict[str, Recipe] = _by_name(
    Recipe("float16_scaled", weights="float16", pixels="float16", scaled=True, remedy="autocast_float16"),
    Recipe("bfloat16_scaled", weights="bfloat16", pixels="bfloat16", scaled=True, remedy="autocast_bfloat16"),
    Recipe("no_autocast", pixels="float16", scaled=True, remedy="autocast_float16"),
)
"""Mistakes that are often made, to be tried: `no_autocast` is `autocast_float16` with a float16 batch and without
autocast around the forward pass."""

REFERENCE = "float32"
"""The recipe that the others are compared with."""


SMALLEST = "bfloat16"
"""The recipe that needs the least memory, and whose numbers have float32's range."""


def recipe_named(name: str) -> Recipe:
    """The recipe or the mistake called `name`. Raises UserError with the known names for any other."""
    known = RECIPES | MISTAKES
    if name not in known:
        raise UserError("unknown_recipe", name=name, known=", ".join(known))
    return known[name]
