"""IVON: a diagonal Gaussian by natural gradients (Shen et al. 2024), by ivon-opt with its defaults.

λ is 1: the effective sample size is that of the data. The learning rate falls along a cosine.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from peer_methods.gradient_descent import cosine
from peer_methods.task import Fitted, Task, averaged


def fit(task: Task) -> Fitted:
    import ivon

    net = task.net()
    optimizer = ivon.IVON(net.parameters(), lr=task.lr, ess=len(task.train))
    steps = task.epochs * task.batches_an_epoch
    falling = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: cosine(step / steps))

    def drawn(x: Tensor) -> Tensor:
        with optimizer.sampled_params():
            outputs: Tensor = net(x)
        return outputs

    predict = averaged(drawn)
    for epoch in range(1, task.epochs + 1):
        for x, y in task.batches():
            with optimizer.sampled_params(train=True):
                optimizer.zero_grad()
                F.cross_entropy(net(x), y).backward()
            optimizer.step()
            falling.step()
        task.watch(epoch, predict)
    return Fitted(predict)
