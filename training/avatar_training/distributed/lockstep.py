"""Workers in lockstep: the leader says where to begin, and after each step whether to go on; the others follow.

All compute the same steps on rows of the same batches. A follower has no files, no previews and no say, except that it
passes on a wish to stop, which the leader grants one step later.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from avatar_training import device
from avatar_training.config import TrainConfig, TrainingError
from avatar_training.data import dataset
from avatar_training.distributed.team import AGAIN, GO, join
from avatar_training.gan import Gan
from avatar_training.objective import reward


def lead(gan: Gan, sha256: str, start: int, steps: int) -> None:
    """Bring every follower to where the leader is: step `start` of `steps`, with its state, on data of this digest."""
    about = {"sha256": sha256, "critic": reward.digests(gan.config), "rollbacks": gan.config.rollbacks}
    gan.team.tell({**about, "start": start, "steps": steps})
    gan.team.copy_from_leader(gan.state().values())


def follow(config: TrainConfig, amp: bool, should_stop: Callable[[], bool]) -> tuple[int, bool]:
    """Do what the leader does until it ends: (steps done, whether that is all of them).

    Raises TrainingError if the images or the critic are not the leader's, DataError as `dataset.load` does.
    """
    if device.schedules():
        device.join()  # and no more: MindSpore ends the process with the job
    faces = dataset.load(Path(config.data), config.image_size, config.channels)
    team = join()
    while True:
        told = team.tell({})
        if told["sha256"] != faces.sha256:
            raise TrainingError(f"{config.data} holds other images here than where worker 0 runs; copy the same there")
        if told["critic"] != reward.digests(config):
            raise TrainingError("the critic or its classifier is another here than where worker 0 runs; copy those")
        config = replace(config, rollbacks=tuple(told["rollbacks"]))
        gan = Gan(config, team, amp)  # a compiled step would not see new parameters
        team.copy_from_leader(gan.state().values())
        step, steps, decision = told["start"], told["steps"], GO
        for real in dataset.batches(faces, config, step, steps, team.rows(config.batch_size)):
            gan.step(step, real, config.learning_rate_at(step, steps))
            step += 1
            decision, _ = team.agree(wish=should_stop())
            if decision != GO:
                break
        if decision != AGAIN:
            return step, step >= steps
