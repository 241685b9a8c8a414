"""The vision tower of the single-image members: CLIP's ViT up to the last block, and its pixel preprocessing.

Module and parameter names are the published checkpoints' (`vit.vision_tower.vision_model.…`, with CLIP's own
spelling `pre_layrnorm`), so that weights load and save under their own names.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPVisionConfig

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


def normalised_pixels(image: Image.Image) -> Tensor:
    """(1, 3, H, W) float32 RGB pixels of `image`, normalised with CLIP's mean and standard deviation."""
    pixels = torch.from_numpy(np.array(image.convert("RGB"), dtype=np.float32) / 255)  # (H, W, 3) in 0..1
    mean, std = torch.tensor(CLIP_MEAN), torch.tensor(CLIP_STD)
    return ((pixels - mean) / std).permute(2, 0, 1)[None].contiguous()


def square_pixels(image: Image.Image, side: int) -> Tensor:
    """(1, 3, side, side) float32 pixels of a picture of any size; its aspect ratio is not kept, as in training."""
    return normalised_pixels(image.convert("RGB").resize((side, side), Image.Resampling.BICUBIC))


class PatchEmbeddings(nn.Module):
    """Pixels to a sequence: the class token, then one token a patch in reading order, positions added."""

    def __init__(self, config: CLIPVisionConfig) -> None:
        super().__init__()
        self.side = int(config.image_size)
        width, patch = config.hidden_size, config.patch_size
        self.class_embedding = nn.Parameter(torch.zeros(width))
        self.patch_embedding = nn.Conv2d(config.num_channels, width, patch, stride=patch, bias=False)
        self.position_embedding = nn.Embedding((self.side // patch) ** 2 + 1, width)

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, 3, side, side) to (N, 1 + patches, width). Raises ValueError at another size."""
        if pixels.shape[-2:] != (self.side, self.side):
            found = "x".join(str(n) for n in pixels.shape[-2:])
            raise ValueError(f"the vision tower wants {self.side}x{self.side} pixels and was given {found}")
        patches = self.patch_embedding(pixels).flatten(2).transpose(1, 2)  # (N, patches, width)
        class_token = self.class_embedding.expand(pixels.shape[0], 1, -1)
        # Called as a module instead of using its weight, because accelerate's device map hooks into module calls.
        positions = self.position_embedding(torch.arange(patches.shape[1] + 1, device=patches.device))
        return torch.cat((class_token, patches), dim=1) + positions


class VisionAttention(nn.Module):
    """Bidirectional multi-head attention with biases."""

    def __init__(self, config: CLIPVisionConfig) -> None:
        super().__init__()
        self.heads = config.num_attention_heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (
            nn.Linear(config.hidden_size, config.hidden_size) for _ in range(4)
        )

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            projection(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (N, heads, T, head_dim)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        return self.out_proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class QuickGELU(nn.Module):
    """x · sigmoid(1.702 x), CLIP's approximation of GELU."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


ACTIVATIONS: dict[str, type[nn.Module]] = {"quick_gelu": QuickGELU, "gelu": nn.GELU}


class VisionMLP(nn.Module):
    def __init__(self, config: CLIPVisionConfig) -> None:
        super().__init__()
        self.fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.activation = ACTIVATIONS[config.hidden_act]()
        self.fc2 = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.activation(self.fc1(x)))


class VisionBlock(nn.Module):
    def __init__(self, config: CLIPVisionConfig) -> None:
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.self_attn = VisionAttention(config)
        self.layer_norm2 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.mlp = VisionMLP(config)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.self_attn(self.layer_norm1(x))
        return x + self.mlp(self.layer_norm2(x))


class VisionEncoder(nn.Module):
    def __init__(self, config: CLIPVisionConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(VisionBlock(config) for _ in range(config.num_hidden_layers))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


class VisionTransformer(nn.Module):
    """CLIP's ViT up to its last block. `post_layernorm` is in the checkpoints but not used by this family."""

    def __init__(self, config: CLIPVisionConfig) -> None:
        super().__init__()
        self.embeddings = PatchEmbeddings(config)
        self.pre_layrnorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.encoder = VisionEncoder(config)
        self.post_layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, 3, side, side) to the last block's output, (N, 1 + patches, width)."""
        return self.encoder(self.pre_layrnorm(self.embeddings(pixels)))


class VisionModel(nn.Module):
    """A level that only exists in the checkpoints' parameter names."""

    def __init__(self, config: CLIPVisionConfig) -> None:
        super().__init__()
        self.vision_model = VisionTransformer(config)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.vision_model(pixels)


class VisionTower(nn.Module):
    """Pictures to patch features, (N, 3, side, side) to (N, patches, width), in the dtype of the pixels given."""

    def __init__(self, config: CLIPVisionConfig) -> None:
        super().__init__()
        self.vision_tower = VisionModel(config)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the tower's weights."""
        return self.vision_tower.vision_model.embeddings.patch_embedding.weight.dtype

    def forward(self, pixels: Tensor) -> Tensor:
        features = self.vision_tower(pixels.to(self.dtype))[:, 1:]  # without the class token
        # Cast back to the picture's dtype, as in the published code. With half weights and a float32 picture, the
        # features are float32 and the projector's weights half: the mismatch that this lab is about.
        return features.to(pixels.dtype)
