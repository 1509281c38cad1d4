"""What the tests share: real processes, tasks that misbehave on demand, and waiting without sleeping."""
