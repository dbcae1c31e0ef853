"""The runs of docs/training-rl.md: environments, how their entropy coefficients are set, and seeds."""

SEEDS = (1, 2, 3, 4, 5)
MORE_SEEDS = (6, 7, 8, 9, 10)  # of Hopper without a bonus, with PI, and of the peer there: five leave too much to chance
BETAS = (0, 0.001, 0.01, 0.03, 0.1, 0.3, 1)

# What it is called here: rl_train's name of it, steps, and PPO's options that are not rl_train's own
ENVIRONMENTS = {
    "deep-sea": ("deep-sea", 400000, ["--size", 12, "--learning-rate", 0.001, "--normalise-advantages", 0]),
    "river-swim": ("river-swim", 200000, ["--learning-rate", 0.001, "--normalise-advantages", 0]),
    "deep-sea-normalised": ("deep-sea", 400000, ["--size", 12, "--learning-rate", 0.001]),
    "hopper": ("hopper", 500000, []),
    "half-cheetah": ("half-cheetah", 500000, []),
}
DISCRETE = ("deep-sea", "river-swim")
GYMNASIUM = {"hopper": "Hopper-v5", "half-cheetah": "HalfCheetah-v5"}  # the peer's names


def fixed(beta):
    return "constant", {"initial": beta}


def adaptive(target):
    """Each as its defaults are, but for SAC's rate: 3e-4 is for hundreds of thousands of steps, here are hundreds."""
    return {"PI": ("pi", {"target": target}), "SAC": ("sac", {"target": target, "initial": 0.01, "rate": 0.05}),
            "Skywork": ("skywork", {"target": target})}


def arms(environment):
    """name: the controller's name and its settings."""
    n_updates = ENVIRONMENTS[environment][1] // 512
    if environment == "deep-sea-normalised":
        return {**{f"{beta:g}": fixed(beta) for beta in (0, 0.01, 0.1, 0.3, 1)},
                "1 to 0": ("linear", {"initial": 1, "final": 0, "steps": n_updates})}
    if environment in DISCRETE:
        return {**{f"{beta:g}": fixed(beta) for beta in BETAS}, **adaptive("0.5max"),
                "0.1 to 0": ("linear", {"initial": 0.1, "final": 0, "steps": n_updates})}
    held = adaptive("0.7x")
    if environment == "half-cheetah":
        return {"0": fixed(0), "PI": held["PI"]}
    return {**{f"{beta:g}": fixed(beta) for beta in (0, 0.01)}, **held}


def seeds(environment, arm):
    return SEEDS + (MORE_SEEDS if environment == "hopper" and arm in ("0", "PI", "CleanRL") else ())


def command(environment, arm, seed, steps=None):
    """What rl_train is called with."""
    name, whole, options = ENVIRONMENTS[environment]
    controller, settings = arms(environment)[arm]
    words = [name, "--steps", steps or whole, "--seed", seed, *options, "--controller", controller]
    for name, value in settings.items():
        words += ["--set", f"{name}={value}"]
    return [str(word) for word in words]
