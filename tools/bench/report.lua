-- The end of a run of wrk, as one line of JSON.
function done(summary, latency)
   local errors = summary.errors
   io.write(string.format('{"requests": %d, "bytes": %d, "seconds": %.3f, "p99_ms": %.3f, "failed": %d}\n', summary.requests, summary.bytes,
      summary.duration / 1e6, latency:percentile(99) / 1e3, errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
