-- What wrk posts, and one line of JSON with what it measured. Its latencies are in microseconds.
wrk.method = "POST"
wrk.body = os.getenv("BENCH_BODY")
wrk.headers["Content-Type"] = "application/json"

done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\n{"answered": %d, "refused": %d, "broken": %d, "slow": %d, "seconds": %f, "p50_ms": %f, "p99_ms": %f}\n',
    summary.requests, e.status, e.connect + e.read + e.write, e.timeout, summary.duration / 1e6,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
