wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
wrk.headers["authorization"] = "Bearer sk-client"
wrk.body = [[{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Say it in a few words. Say it in a few words. Say it in a few words. Say it in a few words. Say it in a few words. Say it in a few words. Say it in a few words. Say it in a few words. Say it in a few words. Say it in a few words. Say it in a few words. Say it in a few words. Say it in a few words. Say it in a few words. Say it in a few words. Say it in a few words. Say it in a few words. Say it in a few words. Say it in a few words. Say it in a few words. Say it in a few words. Say it in a few words. Say it in a few words. Say it in a few words. Say it in a few words. Say it in a few words. Say it in a few words. Say it in a few words. Say it in a few words. Say it in a few words. Say it in a few words. Say it in a few words. Say it in a few words. Say it in a few words. Say it in a few words. Say it in a few words. Say it in a few words. Say it in a few words. Say it in a few words. Say it in a few words. Say it in a few words. Say it in a few "}]}]]

done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    'RESULT {"requests":%d,"duration_us":%d,"errors":%d,"p50_us":%d,"p99_us":%d,"max_us":%d}\n',
    summary.requests, summary.duration, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50), latency:percentile(99), latency.max))
end
