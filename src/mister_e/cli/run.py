"""One conversation after the other: what is done stays done, whatever comes next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from mister_e.analysis.result import Analysis
from mister_e.analysis.turns import ConversationAnalysis, FailedInput
from mister_e.cli.inputs import Input
from mister_e.cli.messages import explain
from mister_e.cli.progress import numbered
from mister_e.cli.writing import Writer
from mister_e.progress import Progress

Judge = Callable[[Input, Progress], ConversationAnalysis]


def judge_each(
    inputs: Sequence[Input], judge: Judge, empty: Analysis, writer: Writer, progress: Progress
) -> Analysis:
    """Judge every input and write each to the folders as soon as it is done.

    :param judge: analyses one input.
    :param empty: the analysis by this model before the first conversation.
    :return: all of it: the conversations, and of several inputs those that failed.
    :raises InputError: the only input cannot be read.
    """
    done: list[ConversationAnalysis] = []
    errors: list[FailedInput] = []
    for number, one in enumerate(inputs, start=1):
        try:
            conversation = judge(one, numbered(progress, number, len(inputs), one.path.name))
        except Exception as error:
            if len(inputs) == 1:
                raise
            # whatever one recording does to a decoder, the others keep their results
            errors.append(FailedInput(str(one.path), explain(error)))
            continue
        conversation = replace(conversation, id=one.name)
        writer.write_one(replace(empty, conversations=(conversation,)))
        done.append(conversation)
    return replace(empty, conversations=tuple(done), errors=tuple(errors))
