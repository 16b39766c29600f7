"""How strong the augmentation is: adapted to how far the discriminator has overfitted (Karras et al., 2020, Sec. 3.1),
told by how many of the real pictures it is sure of."""


class Controller:
    """Probability of each transform. It rises when the mean sign of the discriminator's logits of real pictures is
    above `target`, and falls below it.

    Args:
        target: the mean sign that is wanted, in [-1, 1]; published 0.6.
        pictures: so many seen in a row move the probability by 1 (published 500 000, in transfer 100 000).
        every: batches between changes.
        most: largest probability; NVIDIA's program has none but that of probabilities.
    """

    def __init__(self, target: float, pictures: float, every: int = 4, most: float = 1.0):
        self.target, self.pictures, self.every, self.most = target, pictures, every, most
        self.probability, self.signs, self.seen, self.batches = 0.0, 0.0, 0.0, 0

    def note(self, signs: float, count: float) -> float:
        """Take in the sum of the signs of `count` logits of one batch (of all processes); returns the probability."""
        self.signs, self.seen, self.batches = self.signs + signs, self.seen + count, self.batches + 1
        if self.batches % self.every == 0:
            sureness = self.signs / self.seen
            step = (sureness > self.target) - (sureness < self.target)
            moved = self.probability + step * self.seen / self.pictures
            self.probability = min(max(moved, 0.0), self.most)
            self.signs = self.seen = 0.0
        return self.probability

    def state_dict(self) -> dict[str, float]:
        return {name: getattr(self, name) for name in ("probability", "signs", "seen", "batches")}

    def load_state_dict(self, state: dict[str, float]) -> None:
        for name in self.state_dict():
            setattr(self, name, state[name])
