"""How many questions that a chat model was trained on does it answer with an answer that it was trained on?

    python benchmarks/chat.py BUNDLE [N]

BUNDLE is what growlab export wrote of a trial on data.source qa, whose file is still there. N questions, 300 unless
told, evenly spaced over those of the train split, are asked greedily: each in a session of its own, then all in one.
Then each once at temperature 2, to look for markers among what is drawn.
"""

import sys
from pathlib import Path

import torch

from growlab.data import ChatTokenizer, load_corpus
from growlab.data.turns import TurnSplit
from growlab.export.load import Bundle, converse, load_bundle
from growlab.model.conversation import Conversation
from growlab.model.decoding import Sampling
from growlab.study.column import trial_spec_from_mapping

MAX_TOKENS = 500


def main(folder: Path, n_asked: int = 300) -> None:
    torch.set_num_threads(1)
    bundle = load_bundle(folder, torch.device("cpu"))
    spec = trial_spec_from_mapping(bundle.config["trial_spec"])
    corpus = load_corpus(spec.data)
    assert isinstance(corpus.train, TurnSplit)
    assert isinstance(bundle.tokenizer, ChatTokenizer)
    trained = answers_by_question(corpus.train, bundle.tokenizer)
    asked = list(trained)[:: max(len(trained) // n_asked, 1)][:n_asked]
    longer = sum(corpus.train.lengths > spec.train.seq_len)
    print(f"trained on {len(corpus.train):,} pairs of {len(trained):,} questions, {longer} of them longer than a row")
    greedy = converse(bundle, folder, Sampling(temperature=0.0), 0)
    report("each in a session of its own", greedy, asked, trained, fresh=True)
    greedy.reset()
    report("all in one session", greedy, asked, trained, fresh=False)
    look_for_markers(bundle, folder, asked)


def answers_by_question(split: TurnSplit, tokenizer: ChatTokenizer) -> dict[str, set[str]]:
    trained: dict[str, set[str]] = {}
    for at, (start, length) in enumerate(zip(split.starts, split.lengths, strict=True)):
        prompt = split.prompt(at)
        answer = split.ids[start + len(prompt) : start + length]
        trained.setdefault(tokenizer.decode(prompt), set()).add(tokenizer.decode(answer))
    return trained


def report(
    how: str, conversation: Conversation, asked: list[str], trained: dict[str, set[str]], *, fresh: bool
) -> None:
    exact = ended = 0
    for question in asked:
        if fresh:
            conversation.reset()
        answer = "".join(conversation.answer(question, MAX_TOKENS))
        exact += answer in trained[question]
        ended += conversation.ended
    share = exact / len(asked)
    print(f"{how}: {exact} of {len(asked)} exactly as trained ({share:.1%}), {ended} ended by themselves")


def look_for_markers(bundle: Bundle, folder: Path, asked: list[str]) -> None:
    assert isinstance(bundle.tokenizer, ChatTokenizer)
    hot = converse(bundle, folder, Sampling(temperature=2.0), 0)
    n_drawn = n_markers = 0
    for question in asked:
        hot.reset()
        answer = "".join(hot.answer(question, 100))
        ids = [token for turn in hot._turns for token in turn[len(bundle.tokenizer.question(question)) : -1]]
        assert bundle.tokenizer.decode(ids) == answer
        n_drawn += len(ids)
        n_markers += sum(token >= bundle.tokenizer.text.vocab_size for token in ids)
    print(f"at temperature 2: {n_drawn:,} tokens shown, {n_markers} of them markers")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
