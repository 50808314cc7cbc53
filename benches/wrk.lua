-- wrk -s wrk.lua URL -- BODY-FILE [NAME VALUE]...
--
-- Posts the file with these headers. Prints the results as one line of JSON.

function init(args)
  local file = assert(io.open(args[1], "rb"))
  wrk.method = "POST"
  wrk.body = file:read("*a")
  wrk.headers["content-type"] = "application/json"
  for i = 2, #args, 2 do wrk.headers[args[i]] = args[i + 1] end
  file:close()
end

function done(summary, latency, requests)
  local errors = summary.errors
  print(string.format(
    '{"requests":%d,"microseconds":%d,"mean":%.0f,"p50":%d,"p99":%d,"failed":%d}',
    summary.requests, summary.duration, latency.mean, latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout
  ))
end
