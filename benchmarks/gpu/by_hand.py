"""What a researcher writes by hand: a decoder of the same shape, and the usual loop around it. Nothing of growlab.

Pre-norm blocks with RMSNorm, rotary attention and SwiGLU, a tied head; batches gathered by the CPU, bf16 autocast,
clipping, fused AdamW. Its step is run eagerly, by torch.compile of the whole model, or as one CUDA graph of either with
everything on the device.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Layer(nn.Module):
    def __init__(self, width: int, n_heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.n_heads, self.p = n_heads, dropout
        self.norm1, self.norm2 = nn.RMSNorm(width), nn.RMSNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.up = nn.Linear(width, 2 * hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        B, T, D = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(B, T, 3 * self.n_heads, -1).transpose(1, 2).chunk(3, dim=1)
        q, k = turn(q, cos, sin), turn(k, cos, sin)
        p = self.p if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=p, is_causal=True)
        x = x + F.dropout(self.out(y.transpose(1, 2).reshape(B, T, D)), p)
        value, gate = self.up(self.norm2(x)).chunk(2, dim=-1)
        return x + F.dropout(self.down(F.silu(gate) * value), p)


class Decoder(nn.Module):
    def __init__(self, vocab: int, width: int, depth: int, n_heads: int, hidden: int, seq_len: int, dropout: float):
        super().__init__()
        self.embedding = nn.Embedding(vocab, width)
        self.layers = nn.ModuleList(Layer(width, n_heads, hidden, dropout) for _ in range(depth))
        self.norm = nn.RMSNorm(width)
        half = width // n_heads // 2
        angle = torch.outer(torch.arange(seq_len), 10_000.0 ** (-torch.arange(half) / half))
        self.register_buffer("cos", angle.cos())
        self.register_buffer("sin", angle.sin())
        for each in self.parameters():
            nn.init.normal_(each, std=0.02) if each.dim() > 1 else nn.init.ones_(each)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        h = self.embedding(x)
        for layer in self.layers:
            h = layer(h, self.cos, self.sin)
        logits = F.linear(self.norm(h), self.embedding.weight)
        return F.cross_entropy(logits.float().flatten(0, 1), y.flatten())


def turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    left, right = x.chunk(2, dim=-1)
    return torch.cat((left * cos - right * sin, right * cos + left * sin), dim=-1).to(x.dtype)


class Loop:
    """`step()` is one training step. `record()` makes a graph of one whose batch is gathered there, for `replay()`."""

    def __init__(self, model: Decoder, ids: np.ndarray, batch: int, seq_len: int, *, compiled: bool) -> None:
        self.model, self.ids, self.batch, self.seq_len = model, ids, batch, seq_len
        self.loss = torch.compile(model) if compiled else model
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.99), fused=True, capturable=True)

    def step(self) -> None:
        at = np.random.randint(len(self.ids) - self.seq_len, size=self.batch)
        x = torch.stack([torch.from_numpy(self.ids[i : i + self.seq_len].astype(np.int64)) for i in at])
        y = torch.stack([torch.from_numpy(self.ids[i + 1 : i + 1 + self.seq_len].astype(np.int64)) for i in at])
        self.learn(x.pin_memory().cuda(non_blocking=True), y.pin_memory().cuda(non_blocking=True))

    def learn(self, x: Tensor, y: Tensor) -> None:
        with torch.autocast("cuda", torch.bfloat16):
            loss = self.loss(x, y)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def record(self) -> None:
        self.ids_there = torch.from_numpy(self.ids.astype(np.int64)).cuda()
        self.places = torch.arange(self.seq_len + 1, device="cuda")
        self.recorded = torch.cuda.CUDAGraph()
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                self.whole()
        torch.cuda.current_stream().wait_stream(stream)
        with torch.cuda.graph(self.recorded):
            self.whole()

    def whole(self) -> None:
        at = torch.randint(len(self.ids_there) - self.seq_len - 1, (self.batch, 1), device="cuda")
        taken = self.ids_there[at + self.places]
        self.learn(taken[:, :-1], taken[:, 1:])

    def replay(self) -> None:
        self.recorded.replay()
