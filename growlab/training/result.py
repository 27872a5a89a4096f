"""The result of a trial that its own training brought to an end."""

from growlab.finite import finite
from growlab.kernels import stepped_back
from growlab.kinds import shorten
from growlab.layout import format_layout, n_run
from growlab.records import TrialResult, TrialState
from growlab.training.evaluation import bits_per_byte
from growlab.training.run import TrialRun

FAULTS = {
    TrialState.DIVERGED: "the loss was no longer a finite number at step {step}",
    TrialState.LEAK: "the model sees tokens that it should predict, noticed at step {step}: one of its blocks leaks",
}


def make_result(run: TrialRun, state: TrialState, sample: str, problem: str = "") -> TrialResult:
    """Put together the result of a trial that ends in this state, where its run stands.

    `problem` says what could not be measured at the end of one that completed, or why a rule stopped it.
    """
    counters, layout = run.counters, run.model.layout
    val_loss = finite(counters.val_loss)
    return TrialResult(
        state=state,
        layout_end=format_layout(shorten(layout)),
        depth_end=n_run(layout.blocks),
        n_params=run.n_params,
        val_loss=val_loss,
        best_val_loss=finite(counters.best_val_loss),
        bits_per_byte=None if val_loss is None else bits_per_byte(val_loss, run.corpus.val_bytes_per_token),
        flops=counters.flops,
        tokens=counters.tokens,
        steps=counters.step,
        elapsed_s=counters.elapsed_s,
        sample=sample,
        error=FAULTS.get(state, "").format(step=counters.step) or problem,
        engine=executed(run.engine.name),
    )


def executed(engine: str) -> str:
    """Say how steps were executed: 'graph', or 'graph, without kernels of gated_scan' where one stepped back."""
    names = ", ".join(stepped_back())
    return f"{engine}, without kernels of {names}" if names else engine
