"""Work that many requests share: one commit for their jobs, and one query for the jobs that they wait for."""
