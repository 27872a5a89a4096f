"""A study with pretended workers: every decision is the real one, every training is looked up."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from statistics import fmean

from growlab.deciding import put_next, stopped_at_mark
from growlab.errors import UsageError
from growlab.records import EarlyStop, RungReading, TrialState
from growlab.search import Done, New, Next, Promote, Wait, sampler_options
from growlab.search.rungs.standing import best_paused
from growlab.simulate.clock import Clock
from growlab.simulate.conditions import Conditions
from growlab.simulate.course import Course, course_of
from growlab.simulate.memory import STUDY_ID, MemoryQueue
from growlab.simulate.outcome import SimulatedTrial, Simulation, Standing, evenly
from growlab.simulate.table import Trainings
from growlab.simulate.worker import Doing, Worker
from growlab.study import Study

Watch = Callable[[float, Next], None]  # is told each decision, and when it was made


def simulate(
    study: Study,
    trainings: Trainings,
    conditions: Conditions,
    vocab_size: int,
    watch: Watch = lambda at_s, following: None,
) -> Simulation:
    """Let workers under these conditions serve a study until it is done, from its first trial on.

    `vocab_size` is that of the study's text, on which the sizes of its layouts depend. The same arguments give the same
    simulation. Raises UsageError for a study that proposes nothing, and where `trainings` do not say what is asked.
    """
    if not sampler_options(study).proposes:
        raise UsageError(f"sampler {study.sampler.name} proposes nothing; choose another one: --set sampler=model")
    if study.stop and (study.stop.patience or study.stop.divergence):
        raise UsageError(
            "stop.patience and stop.divergence follow a trial's own evaluations, of which a table knows too little; "
            "leave them out: --set stop.patience=null --set stop.divergence=null, or --set stop=null"
        )
    if study.sampler.transfer_from and study.sampler.transferred is None:
        raise UsageError(
            f"what study {study.name!r} takes over from {study.sampler.transfer_from!r} is kept with it once it is "
            "stored; create it first, or leave it out: --set sampler.transfer_from="
        )
    return _Simulator(study, trainings, conditions, vocab_size, watch).run()


class _Simulator:
    """The place that workers share: the queue, what its trials come to, and who waits."""

    def __init__(
        self, study: Study, trainings: Trainings, conditions: Conditions, vocab_size: int, watch: Watch
    ) -> None:
        self._study, self._trainings, self._conditions = study, trainings, conditions
        self._vocab_size, self._watch = vocab_size, watch
        self._clock = Clock()
        self._queue = MemoryQueue(study, self._clock)
        saves = "flops" in study.limits.budget  # of trials that run those of their checkpoints count
        self._workers = [
            Worker(number, conditions, self._clock, self._queue, self, saves=saves)
            for number in range(conditions.n_workers)
        ]
        self._waiting: dict[int, Worker] = {}  # by number, who has waited longest first
        self._courses: dict[int, Course] = {}
        self._trials: dict[int, SimulatedTrial] = {}  # in the order of decisions
        self._standings = [Standing(at_s=0.0, flops=0.0, n_over=0, n_paused=0, best=None, trial=None)]
        self._improvements: list[Standing] = []
        self._n_paused = 0
        self._is_over = False

    def run(self) -> Simulation:
        for worker in self._workers:
            self._clock.at(0.0, worker.come)
        self._clock.run(lambda: self._is_over)
        return self._outcome()

    # ---- what workers ask ------------------------------------------------------------------------------------

    def look(self, worker: Worker) -> None:
        """Find a worker something to train, as the supervisor of a real one does: a claim, else a decision."""
        self._waiting.pop(worker.number, None)
        while (claim := self._queue.claim_next(STUDY_ID, worker.number, lease_s=float("inf"))) is None:
            following = put_next(self._queue, STUDY_ID, self._study, self._vocab_size)
            self._watch(self._clock.now_s, following)
            match following:
                case New():
                    self._expect(following)
                case Promote(promotion):
                    self._trials[promotion.trial].promoted_s.append(self._clock.now_s)
                    self._n_paused -= 1
                case Wait():
                    self._waiting[worker.number] = worker
                    return
                case Done():
                    self._is_over = True
                    return
        trial = self._trials[claim.number]
        trial.began_s = self._clock.now_s if trial.began_s is None else trial.began_s
        worker.begin(claim, self._courses[claim.number])
        self.freed()  # where there was something for one, there may be something for another

    def stop(self, number: int, reading: RungReading) -> EarlyStop | None:
        """Ask the study's rule whether a trial ends at a mark, as the trainer of a real worker does."""
        return stopped_at_mark(self._queue, STUDY_ID, self._study, self._vocab_size, number, reading)

    def freed(self) -> None:
        """Let the worker look that has waited longest: something may have come for it."""
        if self._waiting:
            worker = self._waiting.pop(next(iter(self._waiting)))
            self._clock.at(self._clock.now_s, partial(self._look_again, worker))

    def arrived(self, number: int) -> None:
        """Note that a trial was paused or ended."""
        past, trial, before = self._queue.trial(number), self._trials[number], self._standings[-1]
        trial.ended_s = self._clock.now_s
        if past.state is TrialState.PAUSED:
            self._n_paused += 1
            self._keep_best()
        standing = Standing(
            at_s=self._clock.now_s,
            flops=self._queue.spent(STUDY_ID).flops,
            n_over=before.n_over + past.state.is_final,
            n_paused=self._n_paused,
            best=before.best,
            trial=before.trial,
        )
        if past.value is not None and (standing.best is None or past.value < standing.best):
            standing = replace(standing, best=past.value, trial=number)
            self._improvements.append(standing)
        self._standings.append(standing)

    # ---- how -------------------------------------------------------------------------------------------------

    def _keep_best(self) -> None:
        """Forget checkpoints of paused trials as workers do that have no room for all of them."""
        rungs = self._study.rungs
        if rungs is not None and rungs.keep_paused:
            ranked = best_paused(rungs, self._queue.past_trials(STUDY_ID, self._study.metrics))
            self._queue.forget_checkpoints(ranked[rungs.keep_paused :])

    def _look_again(self, worker: Worker) -> None:
        if worker.is_idle:
            self.look(worker)
        else:  # it died as it waited
            self.freed()

    def _expect(self, following: New) -> None:
        """Look up what a proposed trial will come to."""
        proposal = following.proposal
        found = self._trainings.find(proposal.spec, proposal.params)
        course = course_of(found.training, self._study.read_at, self._conditions.flops_per_s)
        self._courses[proposal.number] = course
        self._trials[proposal.number] = SimulatedTrial(
            number=proposal.number,
            decided_s=self._clock.now_s,
            origin=proposal.decision.origin,
            parent=proposal.decision.parent,
            mutation=proposal.decision.mutation,
            layout=proposal.layout,
            params=proposal.params,
            distance=found.distance,
        )

    def _outcome(self) -> Simulation:
        for worker in self._workers:
            worker.leave_for_good()
        for number, trial in self._trials.items():
            past = self._queue.trial(number)
            trial.state, trial.value = past.state, past.value
            trial.flops, trial.n_attempts = self._queue.flops(number), self._queue.n_attempts(number)
        distances = [trial.distance for trial in self._trials.values() if trial.distance]
        return Simulation(
            study=self._study.name,
            metric=self._study.loss,
            n_workers=self._conditions.n_workers,
            ended_s=self._clock.now_s,
            flops=self._queue.spent(STUDY_ID).flops,
            lost_flops=sum(worker.lost_flops for worker in self._workers),
            counts=self._queue.counts(STUDY_ID),
            n_promotions=sum(len(trial.promoted_s) for trial in self._trials.values()),
            n_deaths=sum(worker.n_deaths for worker in self._workers),
            n_preemptions=sum(worker.n_preemptions for worker in self._workers),
            worker_s={doing: sum(worker.spent_s[doing] for worker in self._workers) for doing in Doing},
            n_exact=len(self._trials) - len(distances),
            distance=fmean(distances) if distances else 0.0,
            improvements=self._improvements,
            marks=evenly(self._standings, self._clock.now_s),
            trials=list(self._trials.values()),
        )
