"""A selective state space over the windows of a recording: what is kept from window to window depends on the window.

Per channel c and state n, with u the convolved input, delta the step size, B and C read from u:

    h_t = exp(delta_t,c A_c,n) h_(t-1) + delta_t,c B_t,n u_t,c      A = -exp(log_decay), so 0 < exp(delta A) < 1
    y_t,c = sum_n C_t,n h_t,c,n + D_c u_t,c,                        times SiLU of a gate that the input opens

Gu and Dao 2023 (Mamba, arXiv 2312.00752), with step sizes from a full matrix, as the competition's heads have them.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def scan(decay: Tensor, drive: Tensor) -> Tensor:
    """All h of h_t = decay_t * h_(t-1) + drive_t, from h = 0; both [B, T, ...].

    In ceil(log2 T) steps instead of T: after step i every position has gathered what 2^i positions before it left. Only
    products of decays are formed, no quotients, so nothing overflows where the decays are at most 1.
    """
    span, length = 1, drive.shape[1]
    while span < length:
        late = decay[:, span:]
        drive = torch.cat([drive[:, :span], drive[:, span:] + late * drive[:, : length - span]], dim=1)
        decay = torch.cat([decay[:, :span], late * decay[:, : length - span]], dim=1)
        span *= 2
    return drive


class SelectiveScan(nn.Module):
    """[B, T, dim] -> [B, T, dim], each position from itself and those before it.

    Args:
        dim: channels.
        state: numbers that each channel carries along.
        taps: positions that the depthwise convolution before the scan sees, itself the last.
    """

    def __init__(self, dim: int, state: int = 16, taps: int = 4):
        super().__init__()
        self.enter = nn.Linear(dim, 2 * dim, bias=False)
        self.convolve = nn.Conv1d(dim, dim, taps, groups=dim)
        self.step = nn.Linear(dim, dim)
        self.write = nn.Linear(dim, state, bias=False)
        self.read = nn.Linear(dim, state, bias=False)
        self.log_decay = nn.Parameter(torch.arange(1.0, state + 1).log().repeat(dim, 1))
        self.skip = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        u, gate = self.enter(x).chunk(2, dim=-1)
        before = F.pad(u.transpose(1, 2), (self.convolve.kernel_size[0] - 1, 0))
        u = F.silu(self.convolve(before)).transpose(1, 2)
        delta = F.softplus(self.step(u))
        decay = (delta[..., None] * -self.log_decay.exp()).exp()  # [B, T, dim, state]
        drive = (delta * u)[..., None] * self.write(u)[:, :, None, :]
        y = (scan(decay, drive) * self.read(u)[:, :, None, :]).sum(dim=-1) + self.skip * u
        return y * F.silu(gate)


class BidirectionalScan(nn.Module):
    """One scan forwards, one backwards, side by side, projected to dim, dropped out, added, normalised."""

    def __init__(self, dim: int, state: int = 16, dropout: float = 0.2):
        super().__init__()
        self.forwards, self.backwards = SelectiveScan(dim, state), SelectiveScan(dim, state)
        self.merge = nn.Linear(2 * dim, dim)
        self.drop = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x [B, T, dim]; mask bool [B, T]: windows first, then padding."""
        back = turned(self.backwards(turned(x, mask)), mask)
        return self.norm(x + self.drop(self.merge(torch.cat([self.forwards(x), back], dim=-1))))


def turned(x: Tensor, mask: Tensor) -> Tensor:
    """The windows of each recording in reverse, the padding still behind them. x [B, T, dim], mask bool [B, T]."""
    n = mask.sum(dim=1, keepdim=True)
    at = torch.arange(x.shape[1], device=x.device)
    order = torch.where(at < n, n - 1 - at, at)
    return x.gather(1, order[..., None].expand_as(x))
