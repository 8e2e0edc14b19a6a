"""`python -m birdprobe`, also for launchers: `accelerate launch -m birdprobe finetune ...`."""

from .probe.cli.app import main

if __name__ == "__main__":
    main()
