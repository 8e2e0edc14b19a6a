"""ProtoSSM's equations written as plain numpy loops, one recording and one window at a time."""

import math

import numpy as np


def selective_scan(p, x):
    """x [T, dim] -> [T, dim]; p: weights by their names."""
    dim, taps = p["convolve.weight"].shape[0], p["convolve.weight"].shape[2]
    entered = [p["enter.weight"] @ row for row in x]
    h, out = np.zeros_like(p["log_decay"]), []
    for t in range(len(x)):
        u = np.array(p["convolve.bias"])
        for back in range(taps):
            if t - back >= 0:
                u = u + p["convolve.weight"][:, 0, taps - 1 - back] * entered[t - back][:dim]
        u = silu(u)
        step = np.log1p(np.exp(p["step.weight"] @ u + p["step.bias"]))
        write, read = p["write.weight"] @ u, p["read.weight"] @ u
        y = np.zeros(dim)
        for c in range(dim):
            for n in range(len(write)):
                h[c, n] = math.exp(-step[c] * math.exp(p["log_decay"][c, n])) * h[c, n] + step[c] * write[n] * u[c]
                y[c] += read[n] * h[c, n]
        out.append((y + p["skip"] * u) * silu(entered[t][dim:]))
    return np.array(out)


def protossm(p, x, site, hour, first_pass=None, heads=4):
    """x [T, width] of one recording of one tap -> logits [T, K]; p: weights and buffers by their names."""
    x = (x - p["windows.standardise.0.mean"]) / p["windows.standardise.0.std"]
    x = gelu(norm(x @ p["windows.project.each.0.0.weight"].T + p["windows.project.each.0.0.bias"],
                  part(p, "windows.project.each.0.1.")))  # fmt: skip
    place = np.concatenate([p["place.site.weight"][p["place.seen"][site]], p["place.hour.weight"][hour]])
    x = x + p["position"][: len(x)] + p["place.project.weight"] @ place + p["place.project.bias"]
    layer = 0
    while f"scans.{layer}.merge.bias" in p:
        own = part(p, f"scans.{layer}.")
        there = selective_scan(part(own, "forwards."), x)
        back = selective_scan(part(own, "backwards."), x[::-1])[::-1]
        x = norm(x + np.concatenate([there, back], axis=1) @ own["merge.weight"].T + own["merge.bias"],
                 part(own, "norm."))  # fmt: skip
        layer += 1
    x = attention_block(part(p, "attention."), x, heads)
    prototypes, found = p["prototypes"], []
    for row in x:
        cosine = [row @ c / (np.linalg.norm(row) * np.linalg.norm(c)) for c in prototypes]
        found.append(np.log1p(np.exp(p["temperature"])) * np.array(cosine) + p["bias"])
    logits = np.array(found)
    if first_pass is None:
        return logits
    alpha = 1 / (1 + np.exp(-p["gate.weight"]))
    return np.where(np.isnan(first_pass), logits, alpha * logits + (1 - alpha) * first_pass)


def attention_block(p, x, heads):
    dim = x.shape[1]
    qkv = norm(x, part(p, "norm_attention.")) @ p["project.weight"].T + p["project.bias"]
    read = np.zeros_like(x)
    for h in range(heads):
        own = slice(h * dim // heads, (h + 1) * dim // heads)
        q, k, v = (qkv[:, i * dim : (i + 1) * dim][:, own] for i in range(3))
        scores = np.exp(q @ k.T / math.sqrt(dim / heads))
        read[:, own] = scores / scores.sum(axis=1, keepdims=True) @ v
    x = x + read @ p["out.weight"].T + p["out.bias"]
    hidden = gelu(norm(x, part(p, "norm_ffn.")) @ p["ffn.0.weight"].T + p["ffn.0.bias"])
    return x + hidden @ p["ffn.3.weight"].T + p["ffn.3.bias"]


def part(p, prefix):
    return {name.removeprefix(prefix): value for name, value in p.items() if name.startswith(prefix)}


def norm(x, p):
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5) * p["weight"] + p["bias"]


def gelu(x):
    return x / 2 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def silu(x):
    return x / (1 + np.exp(-x))
