mod calls;
mod regions;
mod streams;

use bytes::Bytes;
use http::StatusCode;

use super::*;
use crate::api::Envelope;
use crate::host::Runtime;
use crate::identifier::Identifier;
use crate::log::Record;
use crate::server::{Isolate, lambda_handler};
use crate::testing::{Scripted, Watched, config, header, isolate, request};

const REPLY: &str = r#"{"content": [{"type": "text", "text": "はい"}]}"#;

/// 2026-01-02T03:04:05Z, when a [`Scripted`] begins.
const DATE: &str = "Fri, 02 Jan 2026 03:04:05 GMT";

fn ms(number: u64) -> Duration {
    Duration::from_millis(number)
}

/// Sends one request through the whole function.
async fn ask(isolate: &Isolate, host: &Scripted) -> (Envelope, Record) {
    let body = Bytes::from(r#"{"prompt": "a"}"#);
    lambda_handler(request("POST", "/", &[], body), isolate, host).await
}

#[test]
fn each_failure_is_transient_or_permanent() {
    let refused = |status: u16, kind: &str| InvokeError::Refused {
        status: StatusCode::from_u16(status).unwrap(),
        kind: Identifier::new(kind),
        explanation: None,
        message: String::new(),
        retry_after: None,
        date: None,
    };
    let exception = |kind: &str| InvokeError::Exception {
        kind: Identifier::new(kind),
        message: String::new(),
        original: None,
    };
    let failed = || TransportError::Failed("reset".to_owned());
    use Failure::{Throttled, TimedOut, Transient};
    let cases = [
        ("no connection", InvokeError::Send(failed()), Some(Transient)),
        ("a response that ends early", InvokeError::Read(failed().into()), Some(Transient)),
        ("the deadline", InvokeError::Send(TransportError::TimedOut), None),
        ("the deadline in a body", InvokeError::Read(TransportError::TimedOut.into()), None),
        ("a client that left", InvokeError::Send(TransportError::Cancelled), None),
        ("too long a response", InvokeError::Read(ReadError::TooLong), None),
        ("a stream without a frame", InvokeError::Truncated, Some(Transient)),
        ("429", refused(429, ""), Some(Throttled)),
        ("a type says more than a status", refused(400, "ThrottlingException"), Some(Throttled)),
        ("not ready", refused(429, "ModelNotReadyException"), Some(Transient)),
        ("the model's time-out", refused(408, "ModelTimeoutException"), Some(TimedOut)),
        ("a quota", refused(429, "ServiceQuotaExceededException"), None),
        ("400", refused(400, ""), None),
        ("403", refused(403, ""), None),
        ("404", refused(404, ""), None),
        ("500", refused(500, ""), Some(Transient)),
        ("501", refused(501, ""), None),
        ("502", refused(502, ""), Some(Transient)),
        ("503", refused(503, ""), Some(Transient)),
        ("504", refused(504, ""), Some(Transient)),
        ("a signature without AWS's time", refused(403, "InvalidSignatureException"), None),
        ("throttled in a stream", exception("ThrottlingException"), Some(Throttled)),
        ("a time-out in a stream", exception("ModelTimeoutException"), Some(TimedOut)),
        ("a failure in a stream", exception("InternalServerException"), Some(Transient)),
        ("one of another name", exception("InternalFailure"), Some(Transient)),
        ("without a name", exception(""), Some(Transient)),
        ("Claude's own", exception("overloaded_error"), Some(Transient)),
        ("Claude's own of our fault", exception("invalid_request_error"), None),
        ("rejected in a stream", exception("ValidationException"), None),
        ("the model in a stream", exception("ModelStreamErrorException"), None),
        ("denied in a stream", exception("AccessDeniedException"), None),
    ];
    for (name, error, expected) in cases {
        assert_eq!(Failure::classify(&error), expected, "{name}");
    }
}

/// The first waits are up to 1, 2, 4, 8, 16 and 20 seconds.
#[test]
fn waits_double_up_to_twenty_seconds() {
    let config = config(&[("BEDROCK_TIMEOUT_MS", "3600000"), ("BEDROCK_MAX_ATTEMPTS", "10")]);
    let (config, state) = (config.unwrap(), State::default());
    let host = Scripted::new();
    let deadline = Deadline::new(host.now(), config.timeout);
    let error = InvokeError::Send(TransportError::Failed(String::new()));
    for (name, random, fraction) in
        [("least", 0, 0.0), ("half", 1 << 127, 0.5), ("most", u128::MAX, 1.0)]
    {
        let mut attempts =
            Attempts::new(&config.endpoint, &[], &config, &state, deadline, host.now());
        for seconds in [1, 2, 4, 8, 16, 20, 20, 20, 20] {
            let next = attempts.failed(&error, host.now(), host.now(), random);
            let expected = Duration::from_secs(seconds).mul_f64(fraction);
            let Next::Again(wait) = next else { panic!("{name}: {next:?}") };
            assert!(wait.abs_diff(expected) <= ms(1), "{name}, {seconds}: {wait:?}");
        }
        let end = attempts.failed(&error, host.now(), host.now(), random);
        assert_eq!(end, Next::GiveUp(Some(MAX_BACKOFF)), "{name}");
    }
}
