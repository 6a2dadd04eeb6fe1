"""All workers do the same steps: the leader says where to begin and, after each step, whether to continue.

A follower has no files and no previews. If it is asked to stop, it tells the leader, which ends the run one step later.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from avatar_training import device
from avatar_training.config import TrainConfig, as_options
from avatar_training.data import dataset
from avatar_training.distributed.worker_group import CONTINUE, RESTORE, join
from avatar_training.errors import TrainingError
from avatar_training.networks.gan import Gan
from avatar_training.optimizer import learning_rate_at
from avatar_training.step import TrainingStep


def align_followers(training: TrainingStep, dataset_sha256: str, step: int, steps: int) -> None:
    """Leader: bring every follower to `step` of `steps`, with the leader's state, and have it check its files."""
    workers, rollbacks = training.gan.workers, training.config.rollbacks
    digests = {"dataset_sha256": dataset_sha256, "files": training.config.file_digests()}
    workers.broadcast({**digests, "step": step, "steps": steps, "rollbacks": rollbacks})
    workers.broadcast_parameters(training.state().values())


def follow(config: TrainConfig, amp: bool, should_stop: Callable[[], bool]) -> tuple[int, bool]:
    """Follower: do the leader's steps until it ends the run.

    Returns:
        The number of steps done, and whether the run is finished.

    Raises:
        TrainingError: the images or the files of FILES are not the leader's.
        DataError: the images cannot be loaded (`dataset.load`).
    """
    if device.is_scheduler():
        device.join()  # it does not return: MindSpore ends the scheduler's process with the job
    faces = dataset.load(Path(config.data), config.image_size, config.channels)
    workers = join()
    while True:
        order = workers.broadcast({})
        if order["dataset_sha256"] != faces.sha256:
            raise TrainingError(f"{config.data} holds other images here than on worker 0's machine; copy the same ones")
        if changed := config.changed_files(order["files"]):
            raise TrainingError(
                f"{as_options(changed)} names another file here than on worker 0's machine; copy the same one"
            )
        config = replace(config, rollbacks=tuple(order["rollbacks"]))
        training = TrainingStep(Gan(config, workers, amp))  # a compiled step does not see restored parameters
        workers.broadcast_parameters(training.state().values())
        step, steps, decision = order["step"], order["steps"], CONTINUE
        for real in dataset.batches(faces, config, step, steps, workers.rows(config.batch_size)):
            training.run(step, real, learning_rate_at(config, step, steps))
            step += 1
            decision, _ = workers.barrier(stop_requested=should_stop())
            if decision != CONTINUE:
                break
        if decision != RESTORE:
            return step, step >= steps
