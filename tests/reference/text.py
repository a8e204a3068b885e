"""CLIP's text encoder, written out."""

import torch
import torch.nn.functional as F


def encode(text_encoder, ids, token_embeds=None):
    """Last hidden state [l, d] after the final layer norm of one prompt's ids [l]."""
    weights, config = dict(text_encoder.named_parameters()), text_encoder.config
    if token_embeds is None:
        token_embeds = weights["embeddings.token_embedding.weight"][ids]
    length, heads = len(ids), config.num_attention_heads
    x = token_embeds + weights["embeddings.position_embedding.weight"][:length]
    future = torch.full((length, length), float("-inf")).triu(1)

    def linear(name, value):
        return value @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def norm(name, value):
        return F.layer_norm(value, value.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"])

    for number in range(config.num_hidden_layers):
        layer = f"encoder.layers.{number}"
        y = norm(f"{layer}.layer_norm1", x)
        q, k, v = (
            linear(f"{layer}.self_attn.{part}_proj", y).view(length, heads, -1).transpose(0, 1)
            for part in "qkv"
        )
        attention = (q @ k.transpose(1, 2) / q.shape[-1] ** 0.5 + future).softmax(-1)
        x = x + linear(f"{layer}.self_attn.out_proj", (attention @ v).transpose(0, 1).reshape(length, -1))
        y = linear(f"{layer}.mlp.fc1", norm(f"{layer}.layer_norm2", x))
        x = x + linear(f"{layer}.mlp.fc2", y * torch.sigmoid(1.702 * y))
    return norm("final_layer_norm", x)


def token_ids(tokenizer, text):
    """Ids [l] padded to the model's length."""
    return torch.tensor(tokenizer(text, padding="max_length", truncation=True).input_ids)


def word_count(text):
    """The official code's idea of a length in tokens."""
    return len(text.split())


def true_count(ids, tokenizer):
    """Tokens between start and the first end."""
    return ids.tolist().index(tokenizer.eos_token_id) - 1
