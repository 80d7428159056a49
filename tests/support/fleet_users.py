"""Users of a fleet for tests: each with labels, sizes, rates and schedules of its own."""

import random


def make_users(count: int = 8) -> list[dict]:
    """Users whose labels, sizes, rates and schedules differ; the same words mean something else to each."""
    generator = random.Random(7)
    words = ["abc", "xyz", "hello", "kq", "moon", "tree"]
    users = []
    for u in range(count):
        labels = [f"{word}-{u}" for word in ("no", "yes", "maybe", "often", "never")[: 2 + u % 4]]
        examples = []
        for i in range(5 + 7 * u % 23):
            text = [generator.choice(words) for _ in range(generator.randrange(1, 7))]
            label = labels[i] if i < len(labels) else labels[(len(text) + u) % len(labels)]
            examples.append({"text": " ".join(text), "label": label})
        user = {"tenant": f"t{u % 3}", "name": f"user-{u}", "examples": examples}
        if u % 2:
            user["batch_size"] = 2 + u
        if u % 3 == 1:
            user |= {"learning_rate": 0.003 * u, "schedule": "cosine", "seed": u}
        if u % 4 == 2:
            user |= {"epochs": 5, "patience": 1}
        users.append(user)
    return users
