"""Does what people and scripts ask for: jobs, rollouts, prompts, images that they bring."""
