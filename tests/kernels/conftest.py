"""Where there is no GPU, kernels run in Triton's interpreter: it is asked for before anything imports triton."""

import os

import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"
