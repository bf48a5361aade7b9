"""A predictor-corrector of one evaluation a step, after UniPC (Zhao et al. 2023, arXiv:2302.04867),
with the weights of exponential integration.

    x_s = (sigma_s / sigma_t) x_t + alpha_s ((1 - e^{-h}) m_t + phi_1 b + phi_2 c),
    h the step in lambda = log(alpha / sigma), m = x_0_hat
    phi_1 = h - 1 + e^{-h},    phi_2 = h^2 - 2 phi_1

b and c are the slope and the curvature of m in lambda: of a line through the last two evaluations
to predict x_s, of a parabola through m_s as well to correct it.
"""

import torch

import deft
from deft import checks
from deft.steps import State


class Bh2(deft.Sampler):
    """Third order behind its first steps; the evaluation at the predicted x_s corrects x_s, and
    is the next step's own.
    """

    def __init__(self, steps: int = 10, grid=None) -> None:
        self.steps, self.grid = (
            checks.whole("steps", steps, most=1_000_000, meaning="at least one step of a sampler"),
            grid or deft.UniformLogSNR(),
        )

    def step(self, prior, state, s, noise):
        x_t, t, m_t = state.x_t, state.t, prior.denoise(state.x_t, state.t)
        past = state.memory  # x_r corrected, m_r, r, and m_q, q before it
        if past:
            x_r, m_r, r = past[:3]
            h = self._step(prior, r, t)
            slope, bend = (m_t - m_r) / h.to(m_t), torch.zeros_like(m_t)
            if len(past) == 5:
                before = self._step(prior, past[4], r)
                bend = (slope - (m_r - past[3]) / before.to(m_t)) / (h + before).to(m_t)
            x_t = self._moved(prior, x_r, m_r, slope - bend * h.to(m_t), bend, r, t)
        slope = (
            (m_t - past[1]) / self._step(prior, past[2], t).to(m_t)
            if past
            else torch.zeros_like(m_t)
        )
        x_s = self._moved(prior, x_t, m_t, slope, torch.zeros_like(m_t), t, s)
        return State(x_s, s, state.step + 1, (x_t, m_t, t, *past[1:3]))

    @staticmethod
    def _step(prior, t, s):
        return (prior.schedule.log_snr(s) - prior.schedule.log_snr(t)) / 2

    def _moved(self, prior, x_t, m_t, slope, bend, t, s):
        schedule, h = prior.schedule, self._step(prior, t, s)
        phi_1 = h + torch.expm1(-h)
        keep, gain = schedule.sigma(s) / schedule.sigma(t), schedule.alpha(s)
        moved = (
            -torch.expm1(-h).to(m_t) * m_t
            + phi_1.to(m_t) * slope
            + (h**2 - 2 * phi_1).to(m_t) * bend
        )
        return keep.to(m_t) * x_t + gain.to(m_t) * moved
